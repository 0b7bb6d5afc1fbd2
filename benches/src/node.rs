//! A samovar under test: a process of its own on a data directory, with functions deployed from a manifest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use samovar_model::api::StatsList;
use samovar_model::{FunctionStats, HostStats};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::load::Client;
use crate::server::{Launch, Server, address_after};

/// A function to deploy.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its component.
    pub component: PathBuf,
    /// The rest of its table in the manifest, line by line: `limits.cpu = "5s"`.
    pub settings: String,
}

impl Function {
    /// A function with default settings.
    pub fn new(name: impl Into<String>, component: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), component: component.into(), settings: String::new() }
    }

    /// The same with these settings.
    #[must_use]
    pub fn with(mut self, settings: impl Into<String>) -> Self {
        self.settings = settings.into();
        self
    }
}

/// A running samovar; ended when dropped, and its files with it.
pub struct Node {
    /// The process.
    pub server: Server,
    start: Start,
    dir: TempDir,
}

/// How a node is started, for the first time and again.
struct Start {
    program: PathBuf,
    data: PathBuf,
    options: Vec<String>,
}

impl Start {
    fn up(&self) -> anyhow::Result<Server> {
        let ports = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"].map(str::to_owned);
        let data = ["--data-dir".to_owned(), path_text(&self.data)?];
        Server::start(&Launch {
            program: self.program.clone(),
            args: ports.into_iter().chain(data).chain(self.options.iter().cloned()).collect(),
            ready: |line| address_after("gateway", line),
        })
    }
}

impl Node {
    /// Starts `samovar up` with these options on data of its own.
    ///
    /// # Errors
    /// When the program is not there or does not start.
    pub fn start(options: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        Self::start_in(dir.path().join("data"), dir, options)
    }

    /// Starts it on data that are there already, and stay.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_on(data: &Path, options: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(data.to_owned(), tempfile::tempdir()?, options)
    }

    fn start_in(data: PathBuf, dir: TempDir, options: &[&str]) -> anyhow::Result<Self> {
        let options = options.iter().copied().map(str::to_owned).collect();
        let start = Start { program: beside("samovar")?, data, options };
        Ok(Self { server: start.up()?, start, dir })
    }

    /// Starts it as its users would, and deploys functions.
    ///
    /// # Errors
    /// When it does not start, or a deploy is refused.
    pub fn with(functions: &[Function]) -> anyhow::Result<Self> {
        let node = Self::start(&[])?;
        node.deploy(functions)?;
        Ok(node)
    }

    /// Deploys functions, as one project.
    ///
    /// # Errors
    /// What `samovar deploy` said.
    pub fn deploy(&self, functions: &[Function]) -> anyhow::Result<()> {
        let project = self.file("project");
        std::fs::create_dir_all(&project)?;
        let mut manifest = String::new();
        for Function { name, component, settings } in functions {
            let component = path_text(&std::path::absolute(component)?)?;
            writeln!(manifest, "[function.{name}]\nartifact = {component:?}\n{settings}")?;
        }
        std::fs::write(project.join("samovar.toml"), manifest)?;
        let output = Command::new(&self.start.program)
            .args(["deploy", "--no-build", "--data-dir"])
            .args([&self.start.data, &project])
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "samovar deploy failed: {told}");
        Ok(())
    }

    /// One function's statistics, without looking at all the others'.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn function(&self, name: &str) -> anyhow::Result<FunctionStats> {
        self.ask(&format!("/v1/functions/{name}/stats")).await
    }

    /// The host's statistics.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn host(&self) -> anyhow::Result<HostStats> {
        self.ask::<StatsList>("/v1/stats").await?.host.context("one host")
    }

    /// What the control API says.
    async fn ask<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let read = |name: &str| std::fs::read_to_string(self.start.data.join(name));
        let endpoints: Value = serde_json::from_str(&read("endpoints.json")?)?;
        let control = endpoints["control"].as_str().and_then(|url| url.strip_prefix("http://"));
        let control = control.context("endpoints.json says where the control API listens")?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {control}\r\nauthorization: Bearer {}\r\n\r\n",
            read("token")?.trim()
        );
        let answer = Client::connect(control).await?.send(request.as_bytes()).await?;
        anyhow::ensure!(answer.status == 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// The process alone, with its files.
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
        let Self { server, start, dir } = self;
        server.stop()?;
        let server = start.up().context("starting again on the same data")?;
        Ok(Self { server, start, dir })
    }
}

/// A program under test: in the directory that `BENCH_BIN` names, or else beside this one.
///
/// # Errors
/// When it is not built.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let program = bin_dir()?.join(name);
    anyhow::ensure!(program.is_file(), "{} is not built; `make bench-build` builds it", program.display());
    Ok(program)
}

/// Where the programs under test are.
///
/// # Errors
/// When this one's own place is not known.
pub(crate) fn bin_dir() -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("BENCH_BIN") {
        return Ok(dir.into());
    }
    let own = std::env::current_exe()?;
    own.parent().map(Path::to_owned).context("an executable is in a directory")
}

pub(crate) fn path_text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not text", path.display()))
}
