//! What is measured. Each case is a file with one function, from the servers found to a table.

mod cold;
mod deploy;
mod hello;
mod json;
mod languages;
mod stream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::load::Protocol;
use crate::peers::Found;
use crate::report::Table;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How long each server is under load in each round.
    pub span: Duration,
    /// Rounds, of which the medians are taken.
    pub rounds: usize,
}

/// All ids, in the order in which the report shows them.
pub const IDS: [&str; 14] = [
    "hello-http1-1",
    "hello-http1-32",
    "hello-http1-256",
    "hello-http2-1",
    "hello-http2-32",
    "hello-http2-256",
    "json",
    "stream",
    "languages",
    "cold-code-rust",
    "cold-code-javascript",
    "cold-code-python",
    "cold-instance",
    "deploy",
];

/// Measures one case.
///
/// # Errors
/// When it is no case, its components are not built, or a server does not do what it should.
pub fn measure(id: &str, found: &Found, effort: Effort) -> anyhow::Result<Table> {
    let hello = |protocol, connections| hello::hello(found, effort, protocol, connections);
    let mut table = match id {
        "hello-http1-1" => hello(Protocol::Http1, 1),
        "hello-http1-32" => hello(Protocol::Http1, 32),
        "hello-http1-256" => hello(Protocol::Http1, 256),
        "hello-http2-1" => hello(Protocol::Http2, 1),
        "hello-http2-32" => hello(Protocol::Http2, 32),
        "hello-http2-256" => hello(Protocol::Http2, 256),
        "json" => json::json(found, effort),
        "stream" => stream::stream(found, effort),
        "languages" => languages::languages(found, effort),
        "cold-code-rust" => cold::code(found, &cold::RUST),
        "cold-code-javascript" => cold::code(found, &cold::JAVASCRIPT),
        "cold-code-python" => cold::code(found, &cold::PYTHON),
        "cold-instance" => cold::instance(found),
        "deploy" => deploy::deploy(found),
        _ => anyhow::bail!("`{id}` is no case; there are: {}", IDS.join(" ")),
    }
    .with_context(|| format!("case {id}"))?;
    id.clone_into(&mut table.id);
    Ok(table)
}

/// The quick comparison: hello beside bare hyper alone.
///
/// # Errors
/// As [`measure`].
pub fn measure_quick(found: &Found, effort: Effort) -> anyhow::Result<Table> {
    hello::quick(found, effort)
}

const HELLO: &str = "examples/target/wasm32-wasip2/release/hello.wasm";
const HELLO3: &str = "examples/target/wasip3/wasm32-wasip2/release/hello.wasm";
const PLAIN: &str = "benches/guests/target/wasm32-wasip2/release/bench_plain.wasm";
const ECHO: &str = "benches/guests/target/wasm32-wasip2/release/bench_echo.wasm";
const PLAIN_ECHO: &str = "tests/guests/target/wasm32-wasip2/release/echo.wasm";
const JSON: &str = "benches/guests/target/wasm32-wasip2/release/bench_json.wasm";
const JAVASCRIPT: &str = "examples/hello-javascript/dist/hello-javascript.wasm";
const PYTHON: &str = "examples/hello-python/dist/hello-python.wasm";

/// A component that must have been built.
fn component(path: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(path);
    anyhow::ensure!(path.is_file(), "{} is not built; `make bench` builds it", path.display());
    Ok(path)
}

/// Copies a component under another name and with other bytes, as if it were another one: a custom section is added, which
/// says nothing to anybody.
fn distinct(component: &Path, copy: &Path, mark: u64) -> anyhow::Result<()> {
    let mut bytes = std::fs::read(component)?;
    // A custom section: id 0, its size, and a name (with its length) and content within that size.
    let mut section = vec![5];
    section.extend_from_slice(b"bench");
    section.extend_from_slice(&mark.to_le_bytes());
    bytes.push(0);
    bytes.push(u8::try_from(section.len())?);
    bytes.extend_from_slice(&section);
    std::fs::write(copy, bytes)?;
    Ok(())
}

/// The size of a file, for people.
fn size(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::metadata(path)?.len() as f64;
    Ok(if bytes < 1e6 { format!("{:.0} KB", bytes / 1e3) } else { format!("{:.0} MB", bytes / 1e6) })
}
