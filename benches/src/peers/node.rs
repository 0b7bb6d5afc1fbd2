//! Node's own server: `benches/peers/node/server.mjs`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Found;
use crate::load::Protocol;
use crate::server::{Launch, Server, address_after};

/// `node` in `PATH`.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("node")).find(|program| program.is_file())
}

/// Starts it for one protocol.
///
/// # Errors
/// When it is absent or does not start.
pub fn node(found: &Found, protocol: Protocol) -> anyhow::Result<Server> {
    Server::start(&Launch {
        program: found.node.clone().context("there is no node")?,
        args: vec!["benches/peers/node/server.mjs".to_owned(), protocol.name().to_owned()],
        ready: |line| address_after("listening", line),
    })
}
