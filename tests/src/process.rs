//! One running `samovar`: its output, its signals, its end. It does not outlive its test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
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

/// How a `samovar` is started.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The command that starts it and becomes it by `exec`: `ip netns exec NAME`. None: it is started as it is.
    pub under: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// What its environment has beside that of the test, from which everything named `SAMOVAR_` is taken out.
    pub env: Vec<(String, String)>,
}

impl Process {
    /// Starts the binary with these arguments.
    pub fn start(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_str().expect("arguments are text").to_owned()).collect();
        Self::launch(&Launch { args, ..Launch::default() })
    }

    /// Starts the binary in this way.
    pub fn launch(launch: &Launch) -> Self {
        let words: Vec<_> = launch.under.iter().map(PathBuf::from).chain([binary()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&launch.args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SAMOVAR_")) {
            command.env_remove(name);
        }
        command.envs(launch.env.iter().map(|(name, value)| (name, value)));
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

    /// The next line on standard output that has come already.
    pub fn line_so_far(&mut self) -> Option<String> {
        self.stdout.try_recv().ok()
    }

    /// Reads lines until one tells where it listens: `WORD http://ADDRESS REST`. Gives the address and the rest.
    ///
    /// # Panics
    /// When it ends before that.
    pub async fn announced(&mut self, word: &str) -> (SocketAddr, String) {
        loop {
            let Some(line) = self.line().await else {
                panic!("samovar ended before it announced its {word}: {}", self.settled_stderr().await)
            };
            let Some(rest) = line.strip_prefix(word).filter(|rest| rest.starts_with(' ')) else { continue };
            let (url, rest) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
            let address = address.unwrap_or_else(|| panic!("`{line}` does not name an address"));
            return (address, rest.trim().to_owned());
        }
    }

    /// What an ended process said on standard error: the thread that reads it may be a moment late.
    pub async fn settled_stderr(&self) -> String {
        let mut said = self.stderr();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let more = self.stderr();
            if !said.is_empty() && more == said {
                break;
            }
            said = more;
        }
        said
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
            // Where nobody reads any more: a panic now would end the test without dropping anything else.
            let said = self.stderr();
            writeln!(std::io::stderr(), "--- what samovar said on stderr ---\n{said}--- end ---").ok();
        }
    }
}
