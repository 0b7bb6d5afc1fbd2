//! A platform under test, with functions deployed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::process::Command;

use crate::server::{Launch, Server, address_after};

/// Where the tests' guests are built.
const GUESTS: &str = "tests/guests/target/wasm32-wasip2/release";

/// A running platform; ended when dropped.
pub struct Node {
    /// The process.
    pub server: Server,
    program: PathBuf,
    data: TempDir,
}

impl Node {
    /// Starts the `samovar` that was built beside this program.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let program = beside("samovar")?;
        let data = tempfile::tempdir()?;
        let dir = data.path().to_str().context("a temporary directory has a plain name")?;
        let args = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir", dir];
        let server = Server::start(&Launch {
            program: program.clone(),
            args: args.map(str::to_owned).to_vec(),
            ready: |line| address_after("gateway", line),
        })?;
        Ok(Self { server, program, data })
    }

    /// Deploys one of the tests' guests under its own name, with these lines of `[function.NAME]`.
    ///
    /// # Errors
    /// When it is not built, or refused.
    pub async fn deploy(&self, guest: &str, settings: &str) -> anyhow::Result<()> {
        let artifact = std::env::current_dir()?.join(format!("{GUESTS}/{guest}.wasm"));
        anyhow::ensure!(artifact.exists(), "{} is not there; build it with `make guests`", artifact.display());
        let dir = tempfile::tempdir()?;
        let manifest =
            format!("[function.{guest}]\nbuild = \"true\"\nartifact = \"{}\"\n{settings}\n", artifact.display());
        std::fs::write(dir.path().join("samovar.toml"), manifest)?;
        let output = Command::new(&self.program)
            .arg("deploy")
            .arg("--data-dir")
            .arg(self.data.path())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .await?;
        anyhow::ensure!(output.status.success(), "{guest}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// A program under test: in the directory that `BENCH_BIN` names, or else beside this one.
///
/// # Errors
/// When this one's own place is not known.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    Ok(bin_dir()?.join(name))
}

/// Where the programs under test are.
///
/// # Errors
/// When this one's own place is not known.
pub fn bin_dir() -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("BENCH_BIN") {
        return Ok(dir.into());
    }
    let own = std::env::current_exe()?;
    own.parent().map(Path::to_owned).context("an executable is in a directory")
}
