//! `wasmtime serve`: one component, HTTP/1.1 only.

use std::path::Path;

use super::Found;
use crate::node::path_text;
use crate::server::{Launch, Server, address_after};

/// How long it uses an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// As it does without being told: one request with WASI 0.2, 128 with WASI 0.3.
    Default,
    /// For as long as it can.
    Unlimited,
    /// For so many requests. Guests of WASI 0.3 made with wit-bindgen 0.57 keep some handles of each request, and fail all that
    /// are under way when they have 100,000.
    Requests(u32),
}

/// Starts it with a component; `None` when it is absent.
///
/// # Errors
/// When it does not start.
pub fn wasmtime(found: &Found, component: &Path, reuse: Reuse) -> anyhow::Result<Option<Server>> {
    let Some(program) = found.wasmtime.clone() else { return Ok(None) };
    let mut args = vec!["serve".to_owned(), "--addr=127.0.0.1:0".to_owned()];
    let most = match reuse {
        Reuse::Default => None,
        Reuse::Unlimited => Some(u32::MAX),
        Reuse::Requests(requests) => Some(requests),
    };
    args.extend(most.map(|requests| format!("--max-instance-reuse-count={requests}")));
    // What the components of JavaScript and Python import beyond wasi:http; it costs nothing where it is not imported.
    args.push("-Scli".to_owned());
    args.push(path_text(component)?);
    Server::start(&Launch { program, args, ready: |line| address_after("Serving HTTP on", line) }).map(Some)
}
