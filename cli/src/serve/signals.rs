//! The signals that stop a process.

use std::time::Duration;

use anyhow::Context as _;
use samovar_model::Span;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for what drains, up to the time-out or another signal.
    pub(crate) async fn drained(&mut self, timeout: Span, drained: impl Future<Output = ()>) -> anyhow::Result<()> {
        tracing::info!("draining: requests under way are finished; a second signal does not wait for them");
        let limit: Duration = timeout.as_duration();
        tokio::select! {
            result = tokio::time::timeout(limit, drained) => {
                result.with_context(|| format!("requests were still under way after --drain-timeout {timeout}"))
            }
            () = self.next() => anyhow::bail!("stopped by a second signal; requests under way were cut off"),
        }
    }
}
