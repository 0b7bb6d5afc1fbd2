//! One running `samovar up`: its output, its signals, its end. It does not outlive its test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use crate::paths::binary;
use crate::wait::within;

/// A running `samovar`.
pub struct Process {
    child: Child,
    stdout: mpsc::UnboundedReceiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary with these arguments.
    pub fn start(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["SAMOVAR_LISTEN", "SAMOVAR_CONTROL", "SAMOVAR_TOKEN", "SAMOVAR_DATA_DIR", "SAMOVAR_LOG"] {
            command.env_remove(name);
        }
        let mut child = command.spawn().expect("the binary can be started");
        let (lines, stdout) = mpsc::unbounded_channel();
        let out = child.stdout.take().expect("stdout is piped");
        // Threads, so that the output is read even when the test does not await.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let err = child.stderr.take().expect("stderr is piped");
        std::thread::spawn({
            let stderr = Arc::clone(&stderr);
            move || collect(err, &stderr)
        });
        Self { child, stdout, stderr }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line on standard output; `None` when it is closed.
    pub async fn line(&mut self) -> Option<String> {
        self.stdout.recv().await
    }

    /// What came on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("no one panics holding it").clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process has not been waited for");
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }

    /// Waits for the process's end.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = within("the end of the process", async {
            loop {
                if let Some(status) = self.child.try_wait().expect("the child is ours") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        status.await
    }

    /// Ends the process at once, as `kill -9` does.
    pub fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().expect("the child is ours")
    }

    /// Resident memory in KiB, from `/proc`.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most that it was.
    pub fn peak_resident_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }
}

fn collect(mut from: impl Read, into: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        into.lock().expect("no one panics holding it").push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- what samovar said on stderr ---\n{}--- end ---", self.stderr());
        }
    }
}
