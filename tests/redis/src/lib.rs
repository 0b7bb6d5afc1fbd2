//! A real Redis server for one test: on loopback, at a port the system chose, ended when dropped.
//!
//! The binary is what `scripts/redis-server` installs, or what `REDIS_SERVER` names.
//!
//! Everything here panics with words when it cannot go on, since that is how a test fails.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A server and its directory. It keeps its port over a restart.
pub struct Server {
    dir: tempfile::TempDir,
    port: u16,
    extra: &'static str,
    child: Option<Child>,
}

/// The binary that `scripts/redis-server` installs, or the one that `REDIS_SERVER` names.
fn binary() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/redis-server");
    let binary = std::env::var_os("REDIS_SERVER").map_or(installed, PathBuf::from);
    assert!(
        binary.exists(),
        "{}: no Redis server; run scripts/redis-server, or set REDIS_SERVER to one of 6.2 or later",
        binary.display()
    );
    binary
}

impl Server {
    /// A server that syncs every write as in production; `extra` is a line of its configuration.
    pub fn start(extra: &'static str) -> Self {
        // Redis does not tell a port that it chose, so it is chosen here, and free again for a moment.
        let port =
            TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port is free").port();
        let mut server = Self { dir: tempfile::tempdir().expect("a directory can be made"), port, extra, child: None };
        server.restart();
        server
    }

    /// Where it is, as in `redis://127.0.0.1:6379`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it on what it had written, after a kill too.
    pub fn restart(&mut self) {
        self.kill();
        let file = self.dir.path().join("redis.conf");
        let dir = self.dir.path().display();
        let lines = format!(
            "bind 127.0.0.1\nport {}\ndir {dir}\nappendonly yes\nappendfsync always\n{}\n",
            self.port, self.extra
        );
        std::fs::write(&file, lines).expect("the directory is ours");
        let log = std::fs::File::create(self.dir.path().join("log")).expect("the directory is ours");
        let mut command = Command::new(binary());
        command.arg(&file).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("the binary can be started"));
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().expect("the child is ours"));
            assert!(exited.is_none() && Instant::now() < end, "redis-server: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("the directory is ours")
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("the child is ours");
    }

    /// The server answers nothing, and keeps its connections.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        // It goes on for a moment.
        let child = self.child.as_ref().expect("the server runs");
        waitpid(Some(Pid::from_child(child)), WaitOptions::UNTRACED).expect("the child is ours");
    }

    /// After [`stop`](Self::stop).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the child is ours");
            child.wait().expect("the child is ours");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
