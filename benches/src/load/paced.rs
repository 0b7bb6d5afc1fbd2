//! Light load beside something else: one request every so often, whose latency counts from when it was due, so up to 1 ms of it
//! is the timer's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Call, Client, Outcome};

/// A paced run under way on a thread of its own.
pub struct Paced {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Outcome>>,
}

impl Paced {
    /// Ends it.
    ///
    /// # Errors
    /// When an answer was not the one that must come.
    pub fn finish(self) -> anyhow::Result<Outcome> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the paced load crashed"))?
    }
}

/// Begins to send a request every `interval` over one connection. A late answer makes the next ones late too, and that counts
/// as their latency.
pub fn paced(address: &str, call: &Call, interval: Duration) -> Paced {
    let stop = Arc::new(AtomicBool::new(false));
    let thread = std::thread::spawn({
        let (stop, address, call) = (Arc::clone(&stop), address.to_owned(), call.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(send(&stop, &address, &call, interval))
        }
    });
    Paced { stop, thread }
}

async fn send(stop: &AtomicBool, address: &str, call: &Call, interval: Duration) -> anyhow::Result<Outcome> {
    let mut client = Client::connect(address).await?;
    let started = Instant::now();
    let mut due = started;
    let mut latencies = Vec::new();
    while !stop.load(Relaxed) {
        tokio::time::sleep_until(due.into()).await;
        let answer = client.call(call).await?;
        latencies.push(due.elapsed());
        call.check(answer.status, &answer.body)?;
        due += interval;
    }
    anyhow::ensure!(!latencies.is_empty(), "no request was answered");
    latencies.sort_unstable();
    Ok(Outcome { requests: latencies.len() as u64, elapsed: started.elapsed(), latencies })
}
