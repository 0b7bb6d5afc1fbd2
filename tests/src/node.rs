//! A whole platform on this machine: `samovar up` on free ports, with a data directory of its own.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::api::Api;
use crate::call::{Call, Client};
use crate::process::Process;
use crate::raw::Raw;
use crate::wait::within;

/// A running platform. Dropping it kills it.
pub struct Node {
    process: Process,
    data: Arc<TempDir>,
    args: Vec<String>,
    gateway: SocketAddr,
    api: Api,
}

/// What a platform is started with.
#[derive(Default)]
pub struct NodeBuilder {
    args: Vec<String>,
    data: Option<Arc<TempDir>>,
}

/// A platform that has ended, with its data directory.
pub struct Stopped {
    /// Its exit code; absent when a signal killed it.
    pub code: Option<i32>,
    /// What it said on standard error.
    pub stderr: String,
    data: Arc<TempDir>,
    args: Vec<String>,
}

/// An attempt to start that failed, as it should.
pub struct NotStarted {
    /// The exit code.
    pub code: Option<i32>,
    /// What it said on standard error.
    pub stderr: String,
    /// How long it took to say so.
    pub took: Duration,
}

impl NodeBuilder {
    /// Adds an option and its value.
    pub fn arg(mut self, option: &str, value: &str) -> Self {
        self.args.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Uses the data directory of another platform.
    pub fn data_of(mut self, node: &Node) -> Self {
        self.data = Some(Arc::clone(&node.data));
        self
    }

    /// Uses this data directory.
    pub fn data(mut self, data: TempDir) -> Self {
        self.data = Some(Arc::new(data));
        self
    }

    /// Starts the platform and waits until it says that it accepts.
    pub async fn start(self) -> Node {
        let (mut process, data) = self.spawn();
        let announced = async {
            let gateway = process.announced("gateway").await.0;
            let control = process.announced("control").await.0;
            (gateway, control)
        };
        let (gateway, control) = within("the platform's start", announced).await;
        let api = Api::new(Client::new(), control, data.path());
        Node { process, data, args: self.args, gateway, api }
    }

    /// Starts a platform that cannot start, and waits for its end.
    pub async fn fail(self) -> NotStarted {
        let begun = Instant::now();
        let (mut process, _data) = self.spawn();
        let status = process.ended().await;
        NotStarted { code: status.code(), stderr: process.settled_stderr().await, took: begun.elapsed() }
    }

    fn spawn(&self) -> (Process, Arc<TempDir>) {
        let data = self.data.clone().unwrap_or_else(|| Arc::new(TempDir::new().expect("a temporary directory")));
        let mut args = vec!["up".to_owned(), "--data-dir".to_owned(), data.path().display().to_string()];
        for option in ["--listen", "--control-listen"] {
            if !self.args.iter().any(|arg| arg == option) {
                args.extend([option.to_owned(), "127.0.0.1:0".to_owned()]);
            }
        }
        args.extend(self.args.iter().cloned());
        (Process::start(args), data)
    }
}

fn directory_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("the directory is there").map(|entry| entry.expect("it is readable"));
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        // Removed meanwhile.
        Err(_) => 0,
    });
    bytes.sum()
}

impl Deref for Node {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Node {
    /// A platform with the defaults.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A platform with options.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Where functions are called.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Its control API, for tasks that go on using it.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A call through the gateway. Needs the node only until it is made, so that it can be sent from any task.
    pub fn call(&self, path: &str) -> Call {
        Call::new(self.api.client.clone(), self.gateway, path)
    }

    /// Makes calls without borrowing the node: for tasks that go on calling.
    pub fn call_maker(&self) -> impl Fn(&str) -> Call + Send + Sync + use<> {
        let (client, gateway) = (self.api.client.clone(), self.gateway);
        move |path| Call::new(client.clone(), gateway, path)
    }

    /// A connection to the gateway for bytes as they are.
    pub async fn raw(&self) -> Raw {
        Raw::open(self.gateway).await
    }

    /// A GET on a connection of its own, whose answer nobody reads as yet.
    pub async fn raw_get(&self, path: &str) -> Raw {
        let mut raw = self.raw().await;
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        raw
    }

    /// How much is kept of all functions' logs.
    pub fn logs_bytes(&self) -> u64 {
        directory_bytes(&self.data_dir().join("logs"))
    }

    /// Resident memory of the process in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.process.resident_kib()
    }

    /// The most that it was since the process began.
    pub fn peak_resident_kib(&self) -> u64 {
        self.process.peak_resident_kib()
    }

    /// Sends SIGKILL and goes on; [`Node::ended`] waits for the end.
    pub fn kill_in_place(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Asks the process to stop and waits until it has.
    pub async fn stop(self) -> Stopped {
        self.process.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until the process has ended.
    pub async fn ended(mut self) -> Stopped {
        let status = self.process.ended().await;
        let stderr = self.process.settled_stderr().await;
        Stopped { code: status.code(), stderr, data: self.data, args: self.args }
    }

    /// Ends the process as `kill -9` does.
    pub async fn kill(mut self) -> Stopped {
        self.process.kill();
        Stopped { code: None, stderr: self.process.stderr(), data: self.data, args: self.args }
    }
}

impl Stopped {
    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Starts a platform with the same options on the same data directory.
    pub async fn start(self) -> Node {
        NodeBuilder { args: self.args, data: Some(self.data) }.start().await
    }

    /// The same, where it cannot start.
    pub async fn fail(self) -> NotStarted {
        NodeBuilder { args: self.args, data: Some(self.data) }.fail().await
    }
}
