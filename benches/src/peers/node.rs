//! Node's own server: `benches/peers/node/server.mjs`.

use std::path::PathBuf;

use super::Found;
use crate::load::Protocol;
use crate::server::{Launch, Server, address_after};

/// `node` in `PATH`.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("node")).find(|program| program.is_file())
}

/// Starts it for one protocol; `None` when it is absent.
///
/// # Errors
/// When it does not start.
pub fn node(found: &Found, protocol: Protocol) -> anyhow::Result<Option<Server>> {
    let Some(program) = found.node.clone() else { return Ok(None) };
    let args = vec!["benches/peers/node/server.mjs".to_owned(), protocol.name().to_owned()];
    Server::start(&Launch { program, args, ready: |line| address_after("listening", line) }).map(Some)
}
