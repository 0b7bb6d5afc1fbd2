//! One server: its configuration, its process, its ports.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

/// A server and its directory. It keeps its ports over a restart, and ends when dropped.
pub struct Server {
    dir: TempDir,
    ports: Option<Ports>,
    builder: Builder,
    child: Option<Child>,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Builder {
    bind: IpAddr,
    name: Option<String>,
    config: String,
    jetstream: bool,
    prefix: Vec<String>,
}

/// The ports that a server has, once it is known which the system gave it.
#[derive(Debug, Clone, Copy)]
struct Ports {
    nats: u16,
    monitoring: u16,
}

/// The file in which a server tells its addresses.
#[derive(Debug, Deserialize)]
struct PortsFile {
    #[serde(default)]
    nats: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

fn binary() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/nats-server");
    let binary = std::env::var_os("NATS_SERVER").map_or(installed, PathBuf::from);
    let how = "run scripts/nats-server, or set NATS_SERVER to a server of 2.12 or later";
    assert!(binary.exists(), "{}: no NATS server; {how}", binary.display());
    binary
}

fn port(addresses: &[String]) -> Option<u16> {
    addresses.first()?.rsplit(':').next()?.parse().ok()
}

impl Default for Builder {
    fn default() -> Self {
        let bind = Ipv4Addr::LOCALHOST.into();
        Self { bind, name: None, config: String::new(), jetstream: true, prefix: Vec::new() }
    }
}

impl Builder {
    /// Listens at this address instead of loopback.
    #[must_use]
    pub fn bind(mut self, address: IpAddr) -> Self {
        self.bind = address;
        self
    }

    /// Has this name among servers.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds lines to the configuration.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.config += lines;
        self.config.push('\n');
        self
    }

    /// Has no `JetStream`.
    #[must_use]
    pub fn without_jetstream(mut self) -> Self {
        self.jetstream = false;
        self
    }

    /// Is started by this command, which must become the server by `exec`: `ip netns exec NAME`.
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Self {
        self.prefix = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts the server and waits until it listens.
    pub fn start(self) -> Server {
        let dir = TempDir::new().expect("a temporary directory");
        let mut server = Server { dir, ports: None, builder: self, child: None };
        server.restart();
        server
    }
}

impl Server {
    /// A server of its own on loopback, that syncs every write as in production.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server with options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What clients are told to find it.
    pub fn url(&self) -> String {
        format!("nats://{}", SocketAddr::new(self.builder.bind, self.ports().nats))
    }

    /// Its directory, which its command line names.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.ports().nats
    }

    /// Its name among servers.
    pub fn name(&self) -> Option<&str> {
        self.builder.name.as_deref()
    }

    /// The process's id; `None` while it is killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn monitoring(&self) -> SocketAddr {
        SocketAddr::new(self.builder.bind, self.ports().monitoring)
    }

    fn ports(&self) -> Ports {
        self.ports.expect("known since the first start")
    }

    /// Starts the server, at the ports it had before, with what it stored. Kills it first where it runs.
    pub fn restart(&mut self) {
        self.spawn();
        self.await_ports();
    }

    /// Starts the process and does not wait until it listens.
    pub(crate) fn spawn(&mut self) {
        self.kill();
        let (ports, path) = (self.dir.path().join("ports"), self.dir.path().join("server.conf"));
        // There is none before the first start.
        drop(std::fs::remove_dir_all(&ports));
        std::fs::create_dir(&ports).expect("the directory is ours");
        std::fs::write(&path, self.config(&ports)).expect("the directory is ours");
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let words: Vec<_> = self.builder.prefix.iter().map(PathBuf::from).chain([binary()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("-c").arg(&path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("the directory is ours"));
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", words[0].display())));
    }

    fn config(&self, ports_dir: &Path) -> String {
        let Builder { bind, name, config, jetstream, .. } = &self.builder;
        let [nats, monitoring] = match self.ports {
            // The system chooses.
            None => [-1; 2],
            Some(ports) => [i32::from(ports.nats), i32::from(ports.monitoring)],
        };
        let mut text = format!("listen: \"{bind}:{nats}\"\nhttp: \"{bind}:{monitoring}\"\n");
        let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
        line(format!("ports_file_dir: \"{}\"", ports_dir.display()));
        if let Some(name) = name {
            line(format!("server_name: \"{name}\""));
        }
        if *jetstream {
            let store = self.dir.path().join("store");
            line(format!("jetstream {{ store_dir: \"{}\", sync_interval: always }}", store.display()));
        }
        line(config.clone());
        text
    }

    pub(crate) fn await_ports(&mut self) {
        let dir = self.dir.path().join("ports");
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().expect("the child is ours") {
                panic!("nats-server: {status}: {}", self.log());
            }
            let file =
                std::fs::read_dir(&dir).expect("made before").filter_map(|entry| Some(entry.ok()?.path())).next();
            // It may be half written.
            let told = file.and_then(|file| serde_json::from_slice::<PortsFile>(&std::fs::read(file).ok()?).ok());
            let ports =
                told.and_then(|told| Some(Ports { nats: port(&told.nats)?, monitoring: port(&told.monitoring)? }));
            if ports.is_some() {
                self.ports = ports;
                return;
            }
        }
        panic!("nats-server told no ports: {}", self.log());
    }

    /// What it said so far, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("the child is ours");
    }

    /// The server answers nothing, and keeps its connections (SIGSTOP).
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        await_stopped(self.pid().expect("the server runs"));
    }

    /// The end of [`Self::stop`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it as `kill -9` does. Does nothing where it has ended.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            child.wait().expect("the child is ours");
        }
    }

    /// Whether it has been started and not been killed.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }
}

/// Waits until every thread of the process has stopped after SIGSTOP: some run on for a moment.
pub fn await_stopped(pid: u32) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_stopped(pid) {
        assert!(Instant::now() < end, "process {pid} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_stopped(pid: u32) -> bool {
    // Where there is no /proc there is nothing to see.
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    let states = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    // "1234 (a name that may have any character) T ..."
    states.into_iter().all(|line| line.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
