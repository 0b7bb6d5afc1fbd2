//! Samovar: a node in a data directory of its own, with the functions deployed from a manifest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::{Found, path_text};
use crate::server::{Launch, Server, address_after};

/// A function to deploy.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its component.
    pub component: PathBuf,
    /// The rest of its manifest: keys of its table, then tables whose names begin with `NAME`, which stands for it.
    pub settings: &'static str,
}

impl Function {
    /// A function with default settings.
    pub fn new(name: impl Into<String>, component: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), component: component.into(), settings: "" }
    }

    /// The same with these settings.
    #[must_use]
    pub fn with(mut self, settings: &'static str) -> Self {
        self.settings = settings;
        self
    }

    fn manifest(&self) -> anyhow::Result<String> {
        let component = std::path::absolute(&self.component)?;
        let mut manifest = format!("[function.{}]\nartifact = {:?}\n", self.name, path_text(&component)?);
        writeln!(manifest, "{}", self.settings.replace("NAME", &format!("function.{}", self.name)))?;
        Ok(manifest)
    }
}

/// A running node and its data, which goes with it.
pub struct Node {
    /// The process.
    pub server: Server,
    program: PathBuf,
    dir: tempfile::TempDir,
}

/// Starts a node and deploys functions.
///
/// # Errors
/// When it does not start, or a deploy is refused.
pub fn samovar(found: &Found, functions: &[Function]) -> anyhow::Result<Node> {
    let program = found.bin.join("samovar");
    let dir = tempfile::tempdir()?;
    let node = Node { server: up(&program, dir.path())?, program, dir };
    node.deploy(functions)?;
    Ok(node)
}

fn up(program: &Path, dir: &Path) -> anyhow::Result<Server> {
    let dir = path_text(&dir.join("data"))?;
    let args = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir", dir.as_str()];
    Server::start(&Launch {
        program: program.to_owned(),
        args: args.map(str::to_owned).to_vec(),
        ready: |line| address_after("gateway", line),
    })
}

impl Node {
    /// Deploys functions, as one project.
    ///
    /// # Errors
    /// What `samovar deploy` said.
    pub fn deploy(&self, functions: &[Function]) -> anyhow::Result<()> {
        let project = self.dir.path().join("project");
        std::fs::create_dir_all(&project)?;
        let manifests = functions.iter().map(Function::manifest).collect::<anyhow::Result<Vec<_>>>()?;
        std::fs::write(project.join("samovar.toml"), manifests.concat())?;
        let output = Command::new(&self.program)
            .args(["deploy", "--no-build", "--data-dir"])
            .args([&self.dir.path().join("data"), &project])
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "samovar deploy failed: {told}");
        Ok(())
    }

    /// The process alone, with its data.
    pub fn into_server(self) -> Server {
        self.server.with_dir(self.dir)
    }

    /// A file beside the node's data, which goes with it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stops the process and starts another on the same data: compiled code is on disk, and nothing is loaded.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub fn restart(self) -> anyhow::Result<Self> {
        let Self { server, program, dir } = self;
        server.stop()?;
        let server = up(&program, dir.path()).context("starting again on the same data")?;
        Ok(Self { server, program, dir })
    }
}
