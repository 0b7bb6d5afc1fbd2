//! An open loop: requests are sent when their time has come, whether or not earlier ones were answered, and their latency
//! counts from that time, so up to 1 ms of it is the timer's. Each takes a connection that is free, or opens one more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Answer, Client};

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

/// Connections on which nothing is under way.
#[derive(Clone, Default)]
struct Free(Arc<Mutex<Vec<Client>>>);

impl Free {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Client>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls the path over a connection of these, or a new one. One that breaks does not come back.
    async fn get(&self, address: &str, path: &str) -> anyhow::Result<Answer> {
        let mut client = match self.with(Vec::pop) {
            Some(client) => client,
            None => Client::connect(address).await?,
        };
        let answer = client.get(path).await?;
        self.with(|free| free.push(client));
        Ok(answer)
    }
}

/// Sends as planned, and returns when the last answer has come.
///
/// # Errors
/// When a task of the load generator fails.
pub async fn open(plan: &Plan<'_>) -> anyhow::Result<Vec<Sent>> {
    let free = Free::default();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for index in 0_u32.. {
        let at = Duration::from_secs_f64(f64::from(index) / plan.rate);
        if at >= plan.span {
            break;
        }
        sleep_until(begun + at).await;
        let (free, address, path) = (free.clone(), plan.address.to_owned(), plan.path.to_owned());
        tasks.push(tokio::spawn(async move {
            let answer = free.get(&address, &path).await;
            let took = begun.elapsed().saturating_sub(at);
            let (status, retry_after) =
                answer.map_or((0, false), |answer| (answer.status, answer.header("retry-after").is_some()));
            Sent { at, took, status, retry_after }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await?);
    }
    Ok(all)
}
