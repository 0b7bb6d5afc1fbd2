//! One member of a cluster: a process, its data directory, its address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::netns::Place;
use crate::process::{Launch, Process};
use crate::wait::within;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs functions.
    Host,
    /// Takes requests.
    Gateway,
    /// Serves the control API.
    Control,
}

/// A `samovar host`, `gateway` or `control`. Dropping it kills it.
pub struct Member {
    role: Role,
    launch: Launch,
    data_dir: PathBuf,
    place: Option<Place>,
    /// Where it listens: at the first start the system chooses a port, which later starts take again.
    address: SocketAddr,
    name: String,
    process: Option<Process>,
    accepts: bool,
}

impl Role {
    /// The command, and the word of the line by which it says that it accepts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Gateway => "gateway",
            Self::Control => "control",
        }
    }
}

impl Member {
    /// A member that has not been started yet. `launch` has everything but the command itself, the address and the data
    /// directory.
    pub(super) fn new(
        role: Role,
        launch: Launch,
        address: SocketAddr,
        data_dir: PathBuf,
        place: Option<Place>,
    ) -> Self {
        Self { role, launch, data_dir, place, address, name: String::new(), process: None, accepts: false }
    }

    /// What it does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name: that of a host, as it said itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where it is in the cluster's network.
    ///
    /// # Panics
    /// When the cluster has none.
    pub fn place(&self) -> &Place {
        self.place.as_ref().expect("the cluster was started with a network")
    }

    /// The way it is started, for tests that change it before the next start.
    pub fn launch(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// Starts the process; [`Self::ready`] waits until it accepts.
    ///
    /// # Panics
    /// When it runs already.
    pub fn begin(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.data_dir.display());
        let mut launch = self.launch.clone();
        let own = [self.role.word(), "--listen", &self.address.to_string(), "--data-dir"].map(str::to_owned);
        launch.args = own.into_iter().chain([self.data_dir.display().to_string()]).chain(launch.args).collect();
        self.accepts = false;
        self.process = Some(Process::launch(&launch));
    }

    /// Waits until the process says that it accepts.
    pub async fn ready(&mut self) {
        let word = self.role.word();
        let (address, name) = within("the member's start", self.process().announced(word)).await;
        self.address = address;
        self.name = name;
        self.accepts = true;
    }

    /// Whether the process has said that it accepts since it was last begun.
    pub fn is_ready(&mut self) -> bool {
        let word = self.role.word();
        let Some(process) = &mut self.process else { return false };
        while !self.accepts {
            let Some(line) = process.line_so_far() else { break };
            self.accepts = line.starts_with(word);
        }
        self.accepts
    }

    /// Starts the process, at the address it had before, and waits until it accepts.
    pub async fn start(&mut self) {
        self.begin();
        self.ready().await;
    }

    /// Kills the process where it runs, and starts it again.
    pub async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// Ends the process as `kill -9` does. Does nothing where it has ended.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks the process to stop, waits until it has, and gives its exit code and what it said on standard error.
    pub async fn stop(&mut self) -> (Option<i32>, String) {
        self.process().signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> (Option<i32>, String) {
        let code = self.process().ended().await.code();
        let said = self.process().settled_stderr().await;
        self.process = None;
        (code, said)
    }

    /// The process does nothing, and keeps its connections (SIGSTOP).
    pub fn pause(&mut self) {
        self.process().signal(Signal::STOP);
        samovar_test_nats::await_stopped(self.process().pid());
    }

    /// The end of [`Self::pause`].
    pub fn resume(&mut self) {
        self.process().signal(Signal::CONT);
    }

    /// [`Self::pause`] for so long.
    pub async fn pause_for(&mut self, span: Duration) {
        self.pause();
        tokio::time::sleep(span).await;
        self.resume();
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// The process.
    ///
    /// # Panics
    /// When it was killed or has ended.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("{} does not run", self.data_dir.display()))
    }
}
