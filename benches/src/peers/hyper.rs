//! hyper alone: the yardstick.

use crate::load::Protocol;
use crate::node::beside;
use crate::server::{Launch, Server, address_after};

/// The workspace's lock file, where its version is.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// hyper's version.
pub(super) fn version() -> &'static str {
    let (_, entry) = LOCK.split_once("name = \"hyper\"\nversion = \"").unwrap_or_default();
    entry.split('"').next().unwrap_or_default()
}

/// Starts it for one protocol.
///
/// # Errors
/// When it does not start.
pub fn hyper(protocol: Protocol) -> anyhow::Result<Server> {
    Server::start(&Launch {
        program: beside("yardstick")?,
        args: vec![protocol.name().to_owned()],
        ready: |line| address_after("listening", line),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_found_in_the_lock_file() {
        assert!(super::version().starts_with("1."));
    }
}
