//! A real NATS server for one test: on loopback, at a port the system chose, ended when dropped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::Deserialize;

/// A server and its directory. It keeps its ports over a restart.
pub(super) struct Server {
    dir: tempfile::TempDir,
    ports: Ports,
    /// What stands in its configuration beside the address.
    extra: String,
    child: Option<Child>,
}

/// The addresses that a server tells in its ports file.
#[derive(Debug, Clone, Default, Deserialize)]
struct Ports {
    #[serde(default)]
    nats: Vec<String>,
}

/// The binary that `scripts/nats-server` installs, or the one that `NATS_SERVER` names.
fn binary() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/nats-server");
    let binary = std::env::var_os("NATS_SERVER").map_or(installed, PathBuf::from);
    assert!(
        binary.exists(),
        "{}: no NATS server; run scripts/nats-server, or set NATS_SERVER to one of 2.12 or later",
        binary.display()
    );
    binary
}

fn port(addresses: &[String]) -> u16 {
    let address = addresses.first().expect("an address");
    address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

impl Server {
    /// A server of its own, that syncs every write as in production.
    pub(super) fn start() -> Self {
        Self::with(|store| format!("jetstream {{ store_dir: \"{store}\", sync_interval: always }}"))
    }

    /// A server with a configuration of its own; `extra` is given the directory for its streams.
    pub(super) fn with(extra: impl FnOnce(&str) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let extra = extra(dir.path().join("store").to_str().unwrap());
        let mut server = Self { dir, ports: Ports::default(), extra, child: None };
        server.restart();
        server
    }

    /// Three servers that replicate to each other.
    pub(super) fn three() -> [Self; 3] {
        // A server must know the others before it starts, so these ports are chosen here, and free again for a moment.
        let listeners = [(); 3].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let routes = ports.map(|port| format!("\"nats://127.0.0.1:{port}\"")).join(", ");
        ports.map(|port| {
            Self::with(|store| {
                format!(
                    "server_name: s{port}\njetstream {{ store_dir: \"{store}\", sync_interval: always }}\n\
                     cluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}"
                )
            })
        })
    }

    /// Starts the server with another configuration; answers the one it had.
    pub(super) fn reconfigure(&mut self, extra: String) -> String {
        let before = std::mem::replace(&mut self.extra, extra);
        self.restart();
        before
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    pub(super) fn port(&self) -> u16 {
        port(&self.ports.nats)
    }

    /// Starts the server, at the ports it had before.
    pub(super) fn restart(&mut self) {
        self.kill();
        let (ports, path) = (self.dir.path().join("ports"), self.dir.path().join("server.conf"));
        drop(std::fs::remove_dir_all(&ports));
        std::fs::create_dir(&ports).unwrap();
        let listen = if self.ports.nats.is_empty() { -1 } else { i32::from(port(&self.ports.nats)) };
        let extra = &self.extra;
        let mut file = std::fs::File::create(&path).unwrap();
        write!(file, "listen: \"127.0.0.1:{listen}\"\nports_file_dir: \"{}\"\n{extra}\n", ports.display()).unwrap();
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(binary());
        command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.ports = self.await_ports(&ports);
    }

    fn await_ports(&mut self, dir: &Path) -> Ports {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().unwrap() {
                panic!("nats-server: {status}: {}", self.log());
            }
            let file = std::fs::read_dir(dir).unwrap().filter_map(|entry| Some(entry.ok()?.path())).next();
            let ports = file.and_then(|file| serde_json::from_slice::<Ports>(&std::fs::read(file).ok()?).ok());
            if let Some(ports) = ports.filter(|ports| !ports.nats.is_empty()) {
                return ports;
            }
        }
        panic!("nats-server told no ports: {}", self.log());
    }

    /// Where its streams are.
    pub(super) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Starts it without what it stored, which is now in the directory that is answered.
    pub(super) fn restart_empty(&mut self) -> PathBuf {
        self.kill();
        let lost = self.dir.path().join("lost");
        std::fs::rename(self.store(), &lost).unwrap();
        self.restart();
        lost
    }

    /// Starts it with this as what it stored.
    pub(super) fn restart_with(&mut self, store: &Path) {
        self.kill();
        if self.store().exists() {
            std::fs::remove_dir_all(self.store()).unwrap();
        }
        std::fs::rename(store, self.store()).unwrap();
        self.restart();
    }

    /// What it said since its last start.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// The server answers nothing, and keeps its connections.
    pub(super) fn stop(&self) {
        self.signal(Signal::STOP);
        // It goes on for a moment.
        let child = self.child.as_ref().expect("the server runs");
        waitpid(Some(Pid::from_child(child)), WaitOptions::UNTRACED).unwrap();
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
