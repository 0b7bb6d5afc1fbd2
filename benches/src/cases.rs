//! What is measured. Each case is a file with one function, from the servers found to a table.

mod cold;
mod deploy;
mod hello;
mod json;
mod languages;
mod stream;

use std::time::Duration;

use anyhow::Context as _;

use crate::cores;
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
    // Not where all cores are to be used: a deploy compiles, and a large body keeps both sides busy.
    let whole = id.starts_with("cold") || matches!(id, "stream" | "deploy");
    let _apart = if whole { None } else { Some(cores::apart()?) };
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
        "cold-code-rust" => cold::code(&cold::RUST),
        "cold-code-javascript" => cold::code(&cold::JAVASCRIPT),
        "cold-code-python" => cold::code(&cold::PYTHON),
        "cold-instance" => cold::instance(),
        "deploy" => deploy::deploy(),
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
pub fn measure_quick(effort: Effort) -> anyhow::Result<Table> {
    let _apart = cores::apart()?;
    hello::quick(effort)
}
