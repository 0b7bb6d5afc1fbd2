//! workerd from npm: `benches/peers/workerd`.

use std::path::PathBuf;

use super::Found;
use crate::server::{Launch, Server};

/// The program itself, not the script that npm starts it with.
pub(super) fn find() -> Option<PathBuf> {
    let packages = std::fs::read_dir("target/bench-peers/workerd/node_modules/@cloudflare").ok()?;
    packages.flatten().map(|package| package.path().join("bin/workerd")).find(|program| program.is_file())
}

/// Starts it; `None` when it is absent. It speaks HTTP/1.1 only.
///
/// # Errors
/// When it does not start.
pub fn workerd(found: &Found) -> anyhow::Result<Option<Server>> {
    let Some(program) = found.workerd.clone() else { return Ok(None) };
    let args = ["serve", "benches/peers/workerd/config.capnp", "--control-fd=1"];
    let launch = Launch {
        program,
        args: args.map(str::to_owned).to_vec(),
        ready: |line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(format!("127.0.0.1:{}", event["port"].as_u64()?))
        },
    };
    Server::start(&launch).map(Some)
}
