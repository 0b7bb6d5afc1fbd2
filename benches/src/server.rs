//! A server under test: processes of its own, whose CPU time and memory the kernel counts.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long a server may take until it accepts: `wasmtime serve` compiles 13 MB before.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Lines of output that are kept, to be shown when something goes wrong.
const KEPT_LINES: usize = 20;

/// How a server is started.
pub struct Launch {
    /// What is run.
    pub program: PathBuf,
    /// With which arguments.
    pub args: Vec<String>,
    /// Finds the address (`127.0.0.1:PORT`) in the line of output that says it accepts.
    pub ready: fn(&str) -> Option<String>,
}

/// A running server; ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens, as `127.0.0.1:PORT`.
    pub address: String,
    output: Output,
    /// A directory that goes with it.
    dir: Option<tempfile::TempDir>,
}

/// What a server has in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident now.
    pub resident_bytes: u64,
    /// What of it is no page of a file: those are shared by all who map it, and count for each.
    pub own_bytes: u64,
    /// Page tables, which the resident set leaves out.
    pub page_tables_bytes: u64,
    /// The most that was resident since [`Server::reset_peak_memory`]; of several processes the sum of their peaks.
    pub peak_bytes: u64,
}

/// The last lines that a server wrote, on either stream.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<VecDeque<String>>>);

impl Output {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Server {
    /// Starts it, and waits until it accepts.
    ///
    /// # Errors
    /// When it cannot be started, ends, or stays silent for a minute; with what it wrote.
    pub fn start(launch: &Launch) -> anyhow::Result<Self> {
        let program = launch.program.display();
        let mut child = Command::new(&launch.program)
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = Output::default();
        let (found, address) = mpsc::channel();
        let streams = [
            child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        ];
        for stream in streams.into_iter().flatten() {
            let (output, found, ready) = (output.clone(), found.clone(), launch.ready);
            // Read to the end: a server must never wait for its own log.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(address) = ready(&line) {
                        // Nobody listens any more once it was told.
                        drop(found.send(address));
                    }
                    output.push(line);
                }
            });
        }
        drop(found);
        let mut server = Self { child, address: String::new(), output, dir: None };
        match address.recv_timeout(START_LIMIT) {
            Ok(address) => server.address = address,
            Err(_) => anyhow::bail!("{program} did not say that it listens; it wrote:\n{}", server.output.text()),
        }
        Ok(server)
    }

    /// Keeps a directory for as long as the server runs.
    #[must_use]
    pub fn with_dir(mut self, dir: tempfile::TempDir) -> Self {
        self.dir = Some(dir);
        self
    }

    /// The last lines that it wrote.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// The time that all threads of all its processes have spent on a core so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for pid in self.processes()? {
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end between being listed and being read.
                let Ok(stat) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
                // The first field is the time on a core, in nanoseconds (Documentation/scheduler/sched-stats.rst).
                nanos += stat.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Forgets the memory peak so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn reset_peak_memory(&self) -> anyhow::Result<()> {
        for pid in self.processes()? {
            // 5 resets the peak resident set size (proc_pid_clear_refs(5)).
            std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        }
        Ok(())
    }

    /// What all its processes have in memory.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let mut sum = Memory::default();
        for pid in self.processes()? {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let bytes = |key: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(key));
                let kib = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {key}"))?;
                anyhow::Ok(kib.parse::<u64>()? << 10)
            };
            sum.resident_bytes += bytes("VmRSS:")?;
            sum.own_bytes += bytes("RssAnon:")?;
            sum.page_tables_bytes += bytes("VmPTE:")?;
            sum.peak_bytes += bytes("VmHWM:")?;
        }
        Ok(sum)
    }

    /// The process and all that descend from it.
    fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            for task in std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| self.output.text())? {
                let Ok(children) = std::fs::read_to_string(task?.path().join("children")) else { continue };
                found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
            next += 1;
        }
        Ok(found)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end within 10 s.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("a process has a number")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let limit = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(Instant::now() < limit, "a server did not stop within 10 s");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; and what its end was is of no interest.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address in a line that begins with this prefix and has `http://ADDRESS` after it.
pub fn address_after(prefix: &str, line: &str) -> Option<String> {
    let url = line.strip_prefix(prefix)?.trim();
    Some(url.strip_prefix("http://")?.trim_end_matches('/').to_owned())
}
