//! A load that counts: requests sent at a fixed rate, whether or not earlier ones were answered, over connections that are
//! kept, to one gateway or several. What came of each is known afterwards: [`Report`].
//!
//! It behaves as a sensible client does, and no better: a request goes to the gateways in turn; where a gateway takes no
//! connection the next one is tried; and once a request was written to a connection it is not sent again, whatever comes
//! of it. It runs on a thread of its own, so that a test may block.

mod report;
mod sender;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::apart::apart;

pub use report::{Answered, Failure, Outcome, Record, Report, Window};
use sender::Sender;

/// A load that is running.
pub struct Load {
    begun: Instant,
    stop: Arc<AtomicBool>,
    rate: Arc<AtomicU32>,
    running: JoinHandle<Vec<Record>>,
}

/// What is sent, how often, and to whom.
pub struct LoadBuilder {
    gateways: Vec<SocketAddr>,
    rate: u32,
    request: Pattern,
    patience: Duration,
}

/// The requests of a load, which differ in their number alone.
#[derive(Clone)]
pub(crate) struct Pattern {
    pub(crate) method: Method,
    pub(crate) path: Arc<dyn Fn(u64) -> String + Send + Sync>,
    pub(crate) body: Bytes,
    pub(crate) expected: Option<Bytes>,
}

impl Load {
    /// A load on these gateways: GET `/` 100 times a second, unless something else is said.
    pub fn on(gateways: &[SocketAddr]) -> LoadBuilder {
        let path = Arc::new(|_| "/".to_owned());
        let request = Pattern { method: Method::GET, path, body: Bytes::new(), expected: None };
        LoadBuilder { gateways: gateways.to_vec(), rate: 100, request, patience: Duration::from_secs(30) }
    }

    /// How long it has been running: the clock of the report.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sends at another rate from now on.
    pub fn change_rate(&self, per_second: u32) {
        self.rate.store(per_second, Ordering::Relaxed);
    }

    /// Sends no more, waits for what is under way, and tells what came of it all.
    pub async fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.now();
        let running = self.running;
        let records = tokio::task::spawn_blocking(move || running.join()).await.expect("joining does not panic");
        Report::new(records.expect("a load does not panic"), ended)
    }
}

impl LoadBuilder {
    /// Sends so many requests a second.
    #[must_use]
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = per_second;
        self
    }

    /// Uses this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.request.method = method;
        self
    }

    /// Asks for this path and query.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        let path = path.to_owned();
        self.paths(move |_| path.clone())
    }

    /// Asks for what this makes of the request's number, which counts from 0.
    #[must_use]
    pub fn paths(mut self, path: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        self.request.path = Arc::new(path);
        self
    }

    /// Sends this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.request.body = body.into();
        self
    }

    /// Counts an answer with another body as a failure.
    #[must_use]
    pub fn expecting(mut self, body: impl Into<Bytes>) -> Self {
        self.request.expected = Some(body.into());
        self
    }

    /// Waits so long for an answer; 30 seconds by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Begins.
    pub fn start(self) -> Load {
        let (stop, rate) = (Arc::<AtomicBool>::default(), Arc::new(AtomicU32::new(self.rate)));
        allow_connections();
        let begun = Instant::now();
        let (told, current) = (Arc::clone(&stop), Arc::clone(&rate));
        let running = apart("load", move || run(self, begun, told, current));
        Load { begun, stop, rate, running }
    }
}

/// Where a gateway does not answer for some seconds, thousands of connections are open at once: as many as the system allows.
fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised to the hard one");
}

async fn run(load: LoadBuilder, begun: Instant, stop: Arc<AtomicBool>, rate: Arc<AtomicU32>) -> Vec<Record> {
    let sender = Arc::new(Sender::new(load.gateways, load.request, load.patience, begun));
    let mut under_way = JoinSet::new();
    let mut records = Vec::new();
    let mut next = Duration::ZERO;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        // The timer counts milliseconds: all that has become due meanwhile is sent at once.
        tokio::time::sleep_until((begun + next).into()).await;
        while next <= begun.elapsed() {
            let sender = Arc::clone(&sender);
            under_way.spawn(async move { sender.send(number, next).await });
            number += 1;
            next += Duration::from_secs(1) / rate.load(Ordering::Relaxed).max(1);
        }
        while let Some(record) = under_way.try_join_next() {
            records.push(record.expect("a request does not panic"));
        }
    }
    while let Some(record) = under_way.join_next().await {
        records.push(record.expect("a request does not panic"));
    }
    records
}
