//! One connection's state, and the watch over it: how long a head may take, how long it may be idle.
//!
//! ```text
//! Idle    no request; until idle_timeout
//! Head    the first bytes of a request are here; until header_read_timeout
//! Busy    requests are being answered, each with its function's own deadline
//! ```
//! One timer a connection, however many requests.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::GatewayConfig;
use crate::stats::Stats;

/// What is known of a connection; shared by its stream, its requests and its watch.
pub(crate) struct Connection {
    /// The gateway's.
    stats: Arc<Stats>,
    opened: Instant,
    in_flight: AtomicU32,
    /// Requests that are not yet in the gateway's own count, which all connections share.
    uncounted: AtomicU64,
    /// When the present phase began, in milliseconds since `opened`.
    since_millis: AtomicU64,
    /// Whether bytes have come since the last request.
    head_begun: AtomicBool,
    /// Whether it speaks HTTP/2, whose frames come without a request too.
    is_http2: AtomicBool,
    peer: IpAddr,
    /// What was last told of a request's origin: the host that it named, and the value of `forwarded` for that. The requests
    /// of a connection are for one host as a rule.
    told: Mutex<Option<(String, HeaderValue)>>,
}

/// A request in flight on a connection.
pub(crate) struct InFlight(Arc<Connection>);

impl Connection {
    pub(crate) fn new(peer: std::net::SocketAddr, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            stats,
            opened: Instant::now(),
            in_flight: AtomicU32::new(0),
            uncounted: AtomicU64::new(0),
            since_millis: AtomicU64::new(0),
            head_begun: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            peer: peer.ip(),
            told: Mutex::default(),
        })
    }

    /// The value of `forwarded` (RFC 7239) for a request to this host.
    pub(crate) fn forwarded(&self, host: &str) -> HeaderValue {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &*told {
            Some((known, value)) if known == host => value.clone(),
            _ => {
                let value = forwarded(self.peer, host);
                *told = Some((host.to_owned(), value.clone()));
                value
            }
        }
    }

    fn now_millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Says that a request's head has come.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.uncounted.fetch_add(1, Relaxed);
        self.head_begun.store(false, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn received(&self, bytes: &[u8]) {
        if self.in_flight.load(Relaxed) > 0 || self.head_begun.load(Relaxed) {
            return;
        }
        if bytes.starts_with(b"PRI ") {
            self.is_http2.store(true, Relaxed);
        }
        self.since_millis.store(self.now_millis(), Relaxed);
        self.head_begun.store(true, Relaxed);
    }

    /// Whether the connection has been in its phase for too long.
    fn is_overdue(&self, config: &GatewayConfig) -> bool {
        if self.in_flight.load(Relaxed) > 0 {
            return false;
        }
        let in_head = self.head_begun.load(Relaxed) && !self.is_http2.load(Relaxed);
        let limit = if in_head { config.header_read_timeout } else { config.idle_timeout };
        let elapsed = self.now_millis().saturating_sub(self.since_millis.load(Relaxed));
        Duration::from_millis(elapsed) >= limit
    }

    /// Moves the requests that were counted here to where all are counted.
    pub(crate) fn count(&self) {
        self.stats.requests.fetch_add(self.uncounted.swap(0, Relaxed), Relaxed);
    }

    /// Waits until the connection is overdue.
    pub(crate) async fn watch(&self, config: &GatewayConfig) {
        let every = config.header_read_timeout.min(config.idle_timeout) / 4;
        loop {
            tokio::time::sleep(every.max(Duration::from_millis(10))).await;
            self.count();
            if self.is_overdue(config) {
                return;
            }
        }
    }
}

fn forwarded(peer: IpAddr, host: &str) -> HeaderValue {
    let mut value = match peer {
        IpAddr::V4(ip) => format!("for={ip};"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\";"),
    };
    // Names and addresses: what could be read as more than one value is left out.
    if host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b)) {
        value.push_str(&format!("host=\"{host}\";"));
    }
    value.push_str("proto=http");
    HeaderValue::from_str(&value).expect("an address and a host are a header's value")
}

impl InFlight {
    /// The gateway's, by way of the connection: no count of references that all cores share is touched for a request.
    pub(crate) fn stats(&self) -> &Stats {
        &self.0.stats
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.since_millis.store(self.0.now_millis(), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A stream that tells its connection when bytes come.
pub(crate) struct Watched<S> {
    pub(crate) stream: S,
    pub(crate) connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.connection.received(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
