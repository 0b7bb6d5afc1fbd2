//! The servers that are compared: where each is found, how it is started with what is called there.
//!
//! A peer that is not installed is reported as absent. `scripts/bench-peers` installs what it can.

mod hyper;
mod node;
mod wasmtime;
mod workerd;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

pub use hyper::hyper;
pub use node::node;
pub use wasmtime::{Reuse, wasmtime};
pub use workerd::workerd;

use crate::node::{beside, bin_dir};

/// What was found on this machine.
pub struct Found {
    wasmtime: Option<PathBuf>,
    workerd: Option<PathBuf>,
    node: Option<PathBuf>,
}

/// A server in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What it is called in the tables.
    pub name: String,
    /// What it says of its version; `None` when it is absent.
    pub version: Option<String>,
    /// How it was set up, or how to install it.
    pub note: String,
}

impl Found {
    /// Looks for all of them.
    pub fn look() -> Self {
        let wasmtime = Some(PathBuf::from("target/tools/bin/wasmtime")).filter(|program| program.is_file());
        Self { wasmtime, workerd: workerd::find(), node: node::find() }
    }

    /// All of them, for the report.
    ///
    /// # Errors
    /// When our own programs are not built.
    pub fn peers(&self) -> anyhow::Result<Vec<Peer>> {
        let install = "absent; scripts/bench-peers installs it";
        let peer = |name: &str, program: Option<&Path>, note: &str, absent: &str| {
            let version = program.and_then(version);
            let note = if version.is_some() { note } else { absent };
            Peer { name: name.to_owned(), version, note: note.to_owned() }
        };
        let (own, bin) = (beside("samovar")?, bin_dir()?);
        let profile = bin.file_name().unwrap_or_default().to_string_lossy();
        let profile = match &*profile {
            "dist" => "profile `dist`: fat LTO, one codegen unit".to_owned(),
            other => format!("profile `{other}`: **not what is shipped**"),
        };
        Ok(vec![
            peer("Samovar", Some(&own), &profile, "not built"),
            Peer {
                name: "bare hyper".to_owned(),
                version: Some(format!("hyper {}", hyper::version())),
                note: "the yardstick: no sandbox, no routing; the same profile as Samovar".to_owned(),
            },
            peer("wasmtime serve", self.wasmtime.as_deref(), "as `cargo install` builds it (no LTO)", install),
            peer("workerd", self.workerd.as_deref(), "from npm; a module worker, no bindings", install),
            peer(
                "Node.js",
                self.node.as_deref(),
                "its own `http` and `http2` servers, one process",
                "absent: no `node` in PATH",
            ),
        ])
    }
}

/// What a program says to `--version`.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
