//! An open loop: requests are sent when their time has come, whether or not earlier ones were answered, and their latency
//! counts from that time, so up to 1 ms of it is the timer's. Each takes a connection that is free, or opens one more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Answer, Client};

/// What came of one request.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When it was to be sent, from the beginning.
    pub at: Duration,
    /// When it was sent: later, where the generator could not keep up.
    pub left: Duration,
    /// From when it was to be sent until its answer was complete.
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

/// Sends `GET path` at each of these times, counted from now, and returns when the last answer has come.
///
/// # Errors
/// When a task of the load generator fails.
pub async fn open(address: &str, path: &str, times: impl IntoIterator<Item = Duration>) -> anyhow::Result<Vec<Sent>> {
    let free = Free::default();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for at in times {
        sleep_until(begun + at).await;
        let (free, address, path) = (free.clone(), address.to_owned(), path.to_owned());
        let left = begun.elapsed();
        tasks.push(tokio::spawn(async move {
            let answer = free.get(&address, &path).await;
            let took = begun.elapsed().saturating_sub(at);
            let (status, retry_after) =
                answer.map_or((0, false), |answer| (answer.status, answer.header("retry-after").is_some()));
            Sent { at, left, took, status, retry_after }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await?);
    }
    Ok(all)
}

/// The times of requests at this rate (in a second), for so long.
pub fn steady(rate: f64, span: Duration) -> impl Iterator<Item = Duration> {
    (0_u32..).map(move |index| Duration::from_secs_f64(f64::from(index) / rate)).take_while(move |at| *at < span)
}
