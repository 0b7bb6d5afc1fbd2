//! The components that are measured, as paths from the repository's root.

use std::path::{Path, PathBuf};

/// The hello example, with the SDK.
pub const HELLO: &str = "examples/target/wasm32-wasip2/release/hello.wasm";
/// The same of WASI 0.3.
pub const HELLO3: &str = "examples/target/wasip3/wasm32-wasip2/release/hello.wasm";
/// The same answer without the SDK.
pub const PLAIN: &str = "benches/guests/target/wasm32-wasip2/release/bench_plain.wasm";
/// Streams a body back, with the SDK.
pub const ECHO: &str = "benches/guests/target/wasm32-wasip2/release/bench_echo.wasm";
/// The same without the SDK.
pub const PLAIN_ECHO: &str = "tests/guests/target/wasm32-wasip2/release/echo.wasm";
/// The hello example, which can be held open.
pub const HELD: &str = "benches/guests/target/wasm32-wasip2/release/bench_held.wasm";
/// Prices an order.
pub const JSON: &str = "benches/guests/target/wasm32-wasip2/release/bench_json.wasm";
/// The hello example in JavaScript.
pub const JAVASCRIPT: &str = "examples/hello-javascript/dist/hello-javascript.wasm";
/// The hello example in Python.
pub const PYTHON: &str = "examples/hello-python/dist/hello-python.wasm";

/// A component that must have been built.
///
/// # Errors
/// When it is not there; with how to build it.
pub fn built(path: impl Into<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = path.into();
    let how = "`make bench-build guests examples languages` builds all that is measured; run this from the root";
    anyhow::ensure!(path.is_file(), "{} is not there: {how}", path.display());
    Ok(path)
}

/// One of the tests' guests.
///
/// # Errors
/// As [`built`].
pub fn guest(name: &str) -> anyhow::Result<PathBuf> {
    built(format!("tests/guests/target/wasm32-wasip2/release/{name}.wasm"))
}

/// A component with other bytes that does the same, as if it were another one: a custom section is added, with this mark.
pub fn distinct(component: &[u8], mark: u64) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let mut section = vec![NAME.len() as u8];
    section.extend(NAME);
    section.extend(mark.to_le_bytes());
    // Id 0, the size of the section (below 128, so that it is one byte of LEB128), its content.
    [component, &[0, section.len() as u8], &section].concat()
}

/// The size of a file, for people.
pub(crate) fn size(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::metadata(path)?.len() as f64;
    Ok(if bytes < 1e6 { format!("{:.0} KB", bytes / 1e3) } else { format!("{:.0} MB", bytes / 1e6) })
}

#[cfg(test)]
mod tests {
    use super::distinct;

    #[test]
    fn a_distinct_component_ends_with_a_whole_custom_section() {
        let bytes = distinct(b"component", 7);
        let section = bytes.strip_prefix(b"component").unwrap();
        assert_eq!(section[0], 0);
        assert_eq!(usize::from(section[1]), section.len() - 2);
        assert_eq!(&section[2..8], b"\x05bench");
        assert_ne!(bytes, distinct(b"component", 8));
    }
}
