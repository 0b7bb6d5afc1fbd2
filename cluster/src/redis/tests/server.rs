//! A real Redis server for one test: on loopback, at a port the system chose, ended when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::RedisConfig;

/// A server and its directory. It keeps its port over a restart.
pub(super) struct Server {
    dir: tempfile::TempDir,
    port: u16,
    extra: &'static str,
    child: Option<Child>,
}

/// The binary that `scripts/redis-server` installs, or the one that `REDIS_SERVER` names.
fn binary() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/redis-server");
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
    pub(super) fn start(extra: &'static str) -> Self {
        // Redis does not tell a port that it chose, so it is chosen here, and free again for a moment.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { dir: tempfile::tempdir().unwrap(), port, extra, child: None };
        server.restart();
        server
    }

    pub(super) fn config(&self) -> RedisConfig {
        RedisConfig::new(format!("redis://127.0.0.1:{}", self.port))
    }

    pub(super) fn restart(&mut self) {
        self.kill();
        let file = self.dir.path().join("redis.conf");
        let dir = self.dir.path().display();
        let lines = format!(
            "bind 127.0.0.1\nport {}\ndir {dir}\nappendonly yes\nappendfsync always\n{}\n",
            self.port, self.extra
        );
        std::fs::write(&file, lines).unwrap();
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(binary());
        command.arg(&file).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(exited.is_none() && Instant::now() < end, "redis-server: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
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
