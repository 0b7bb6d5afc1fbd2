//! A server under test: a process of its own, whose CPU time the kernel counts.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running server; ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens, as `127.0.0.1:PORT`.
    pub address: String,
}

impl Server {
    /// Starts a program that prints a line with `PREFIX  http://ADDRESS` once it accepts.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent for 30 s.
    pub async fn start(program: &Path, args: &[&str], prefix: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix(prefix).and_then(|rest| rest.trim().strip_prefix("http://")) {
                    return Ok(url.to_owned());
                }
            }
            anyhow::bail!("{} ended before it listened", program.display())
        };
        let address = tokio::time::timeout(Duration::from_secs(30), address).await??;
        Ok(Self { child, address })
    }

    /// The time that all of the process's threads have spent on a core, in nanoseconds.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_nanos(&self) -> anyhow::Result<u64> {
        let pid = self.child.id().context("the server has ended")?;
        let mut total = 0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            // The first field is the time on a core, in nanoseconds (Documentation/scheduler/sched-stats.rst).
            let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let nanos: u64 = stat.split_whitespace().next().unwrap_or("0").parse()?;
            total += nanos;
        }
        Ok(total)
    }
}
