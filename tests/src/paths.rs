//! Where the things are that must be built before the tests run.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests have a directory of their own in the repository").to_owned()
}

/// The `samovar` binary: `SAMOVAR_BIN`, or the one that was built into the same target directory as the tests.
///
/// # Panics
/// When it has not been built.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SAMOVAR_BIN") {
        return path.into();
    }
    // Of target/debug/deps/all-0123, as of target/debug/chaos: target/debug/samovar.
    let own = std::env::current_exe().expect("a program knows its own path");
    let dir = own.parent().expect("a program lies in a directory");
    let profile = if dir.ends_with("deps") { dir.parent().expect("deps lies in target/PROFILE") } else { dir };
    let path = profile.join("samovar");
    assert!(path.exists(), "{} is not there: build it first with `cargo build -p samovar-cli`", path.display());
    path
}

/// A guest's component.
///
/// # Panics
/// When it has not been built.
pub fn guest(name: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/target/wasm32-wasip2/release");
    // Cargo names the file of a library with underscores, and that of a program as it is.
    let candidates = [built.join(format!("{name}.wasm")), built.join(format!("{}.wasm", name.replace('-', "_")))];
    let found = candidates.iter().find(|path| path.exists());
    let missing = || panic!("{} is not there: build the guests first: make guests", candidates[0].display());
    found.unwrap_or_else(missing).clone()
}
