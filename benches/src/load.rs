//! A closed loop of HTTP/1.1 requests over kept-alive connections.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a run of load saw.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests answered.
    pub requests: u64,
    /// How long each took, sorted.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency that this share of the requests (from 0 to 1) stayed below.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// Sends `GET path` with a `Host` header and no other over this many connections for this long; each answer must have status
/// 200 and this body.
///
/// # Errors
/// On any other answer, and when a connection breaks.
pub async fn run(address: &str, path: &str, body: &str, connections: usize, span: Duration) -> anyhow::Result<Outcome> {
    let until = Instant::now() + span;
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(connection(address.to_owned(), path.to_owned(), body.to_owned(), until)))
        .collect();
    let mut outcome = Outcome::default();
    for task in tasks {
        let latencies = task.await??;
        outcome.requests += latencies.len() as u64;
        outcome.latencies.extend(latencies);
    }
    outcome.latencies.sort_unstable();
    Ok(outcome)
}

async fn connection(address: String, path: String, body: String, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut buffer = vec![0; 16 << 10];
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        while !is_complete(&buffer[..filled], &body)? {
            let read = stream.read(&mut buffer[filled..]).await?;
            anyhow::ensure!(read > 0, "{address} closed a connection after {filled} bytes");
            filled += read;
        }
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

/// Whether the whole answer is there. Its body may come with a length or in chunks.
fn is_complete(bytes: &[u8], body: &str) -> anyhow::Result<bool> {
    if bytes.len() < 12 {
        return Ok(false);
    }
    let status = std::str::from_utf8(&bytes[9..12]).unwrap_or_default();
    anyhow::ensure!(status == "200", "answered with status {status}");
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let head = std::str::from_utf8(head).context("the head is not text")?;
    if head.contains("transfer-encoding: chunked") {
        if !rest.ends_with(b"0\r\n\r\n") {
            return Ok(false);
        }
        let text = std::str::from_utf8(rest)?;
        anyhow::ensure!(text.contains(body), "answered {text:?} instead of {body:?}");
        return Ok(true);
    }
    if rest.len() < body.len() {
        return Ok(false);
    }
    anyhow::ensure!(rest == body.as_bytes(), "answered {:?} instead of {body:?}", String::from_utf8_lossy(rest));
    Ok(true)
}
