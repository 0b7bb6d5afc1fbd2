//! An open loop: requests are sent when their time has come, whether or not earlier ones were answered, and their latency
//! counts from that time. Each takes a connection that is free, or opens one more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::client::Client;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// Where to, as `127.0.0.1:PORT`.
    pub address: &'a str,
    /// The path.
    pub path: &'a str,
    /// Requests in a second.
    pub rate: f64,
    /// For how long.
    pub span: Duration,
}

/// What came of one request.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When it was to be sent, from the beginning.
    pub at: Duration,
    /// From then until its answer was complete.
    pub took: Duration,
    /// Its status; 0 when its connection broke.
    pub status: u16,
    /// Whether it was told when to try again.
    pub retry_after: bool,
}

/// Sends as planned, and returns when the last answer has come.
///
/// # Errors
/// When a task of the load generator fails.
pub async fn run(plan: &Plan<'_>) -> anyhow::Result<Vec<Sent>> {
    let free: Arc<Mutex<Vec<Client>>> = Arc::default();
    let lock = |free: &Mutex<Vec<Client>>| free.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for index in 0_u32.. {
        let at = Duration::from_secs_f64(f64::from(index) / plan.rate);
        if at >= plan.span {
            break;
        }
        sleep_until(begun + at).await;
        let mut client = lock(&free).unwrap_or_else(|| Client::new(plan.address, plan.path));
        let free = Arc::clone(&free);
        tasks.push(tokio::spawn(async move {
            let answer = client.get().await;
            let took = begun.elapsed().saturating_sub(at);
            free.lock().unwrap_or_else(PoisonError::into_inner).push(client);
            let (status, retry_after) = answer.map_or((0, false), |answer| (answer.status, answer.retry_after));
            Sent { at, took, status, retry_after }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await?);
    }
    Ok(all)
}

/// Of these requests, the latency that this share (from 0 to 1) stayed below.
pub fn percentile<'a>(sent: impl IntoIterator<Item = &'a Sent>, share: f64) -> Duration {
    let mut latencies: Vec<_> = sent.into_iter().map(|sent| sent.took).collect();
    latencies.sort_unstable();
    let last = latencies.len().saturating_sub(1);
    latencies.get((last as f64 * share) as usize).copied().unwrap_or_default()
}
