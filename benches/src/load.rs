//! Closed loops of requests: each connection sends the next one when the answer to the last is whole, and checks every answer.
//!
//! The generator runs on one thread, so that on a small machine it leaves the other cores to the server.

mod http1;
mod http2;
mod open;
mod paced;
mod transfer;

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;

use crate::cores;

pub use http1::{Answer, Client};
pub use open::{Sent, open, steady};
pub use paced::{Paced, paced};
pub use transfer::{Transferred, transfer};

use crate::percentile::percentile;

/// How much longer than asked for a run of load may take before it is given up.
const GRACE: Duration = Duration::from_secs(15);

/// A request, and the answer that must come.
#[derive(Debug, Clone)]
pub struct Call {
    /// The path, the same at all servers.
    pub path: &'static str,
    /// The body and its content type; with one the method is POST, without one GET.
    pub body: Option<(Bytes, &'static str)>,
    /// The body of the answer; its status must be 200.
    pub answer: Bytes,
}

impl Call {
    /// `GET path`.
    pub fn get(path: &'static str, answer: &'static str) -> Self {
        Self { path, body: None, answer: Bytes::from_static(answer.as_bytes()) }
    }

    pub(crate) fn check(&self, status: u16, body: &[u8]) -> anyhow::Result<()> {
        let shown = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        anyhow::ensure!(status == 200, "{} answered with status {status}: {}", self.path, shown());
        anyhow::ensure!(body == self.answer, "{} answered {:?}, which is not what it should", self.path, shown());
        Ok(())
    }
}

/// What is spoken to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, kept alive.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge; one request at a time on each connection.
    Http2,
}

impl Protocol {
    /// What the yardstick and Node's server are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

impl FromStr for Protocol {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let known = [Self::Http1, Self::Http2].into_iter().find(|protocol| protocol.name() == name);
        known.with_context(|| format!("`{name}`: neither http1 nor http2"))
    }
}

/// How the load is made.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What is spoken.
    pub protocol: Protocol,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// For how long new requests are sent.
    pub span: Duration,
}

/// What a run of load saw.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests answered.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// How long each request took, sorted.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency that this share of the requests (from 0 to 1) stayed below.
    pub fn percentile(&self, share: f64) -> Duration {
        percentile(&self.latencies, share).unwrap_or_default()
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Puts this load on the server at `address` (as `127.0.0.1:PORT`).
///
/// # Errors
/// When an answer is not the one that must come, a connection breaks, or the server does not answer for 15 s.
pub fn run(address: &str, call: &Call, load: Load) -> anyhow::Result<Outcome> {
    let alone = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if cores::take()? {
            // As long as this is there, the runtime looks for events without ever waiting for one.
            runtime.spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        let answered =
            runtime.block_on(async { tokio::time::timeout(load.span + GRACE, drive(address, call, load)).await });
        // Connections that are still open when the time is up are cut off.
        runtime.shutdown_background();
        answered.with_context(|| format!("{address}{} did not answer for {GRACE:?}", call.path))?
    };
    std::thread::scope(|scope| scope.spawn(alone).join().map_err(|_| anyhow::anyhow!("the load generator panicked"))?)
}

/// [`run`], for callers in a runtime: the load has a thread of its own.
///
/// # Errors
/// As [`run`].
pub async fn run_aside(address: &str, call: &Call, load: Load) -> anyhow::Result<Outcome> {
    let (address, call) = (address.to_owned(), call.clone());
    tokio::task::spawn_blocking(move || run(&address, &call, load)).await?
}

async fn drive(address: &str, call: &Call, load: Load) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let until = started + load.span;
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..load.connections {
        let (address, call) = (address.to_owned(), call.clone());
        match load.protocol {
            Protocol::Http1 => connections.spawn(async move { http1::repeat(&address, &call, until).await }),
            Protocol::Http2 => connections.spawn(async move { http2::repeat(&address, &call, until).await }),
        };
    }
    let mut latencies = Vec::new();
    while let Some(connection) = connections.join_next().await {
        latencies.extend(connection??);
    }
    anyhow::ensure!(!latencies.is_empty(), "no request was answered");
    latencies.sort_unstable();
    Ok(Outcome { requests: latencies.len() as u64, elapsed: started.elapsed(), latencies })
}
