//! Requests that guests send: allowed by the manifest or refused, over pooled connections.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use samovar_model::{LogStream, OutboundPattern};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::logs::LogSink;

/// What is waited for where the guest says nothing: WASI leaves it to the host. The invocation's own deadline is usually
/// shorter.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A client with pooled connections, HTTP/1.1 and HTTP/2 with TLS. Shared by all functions of a host, cheap to clone.
#[derive(Clone)]
pub(crate) struct OutboundClient(Client<HttpsConnector<HttpConnector>, WasiBody>);

impl OutboundClient {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(DEFAULT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self(client)
    }
}

/// A revision's rules for outbound requests, and what sends them. Made once per revision.
pub(crate) struct Outbound {
    pub(crate) allowed: Vec<OutboundPattern>,
    pub(crate) client: OutboundClient,
    pub(crate) log: LogSink,
    pub(crate) function: String,
    pub(crate) forbidden_headers: ForbiddenHeaderFilter,
    /// One permit for each request that may be under way at once.
    places: Arc<Semaphore>,
}

/// Requests that a revision may have under way at once from one host, each on a connection of its own over HTTP/1.1. Further
/// ones wait for a place, within their time-outs.
const MAX_UNDER_WAY: usize = 256;

impl Outbound {
    pub(crate) fn new(function: String, allowed: Vec<OutboundPattern>, client: OutboundClient, log: LogSink) -> Self {
        let forbidden_headers: ForbiddenHeaderFilter = Arc::new(is_forbidden);
        let places = Arc::new(Semaphore::new(MAX_UNDER_WAY));
        Self { allowed, client, log, function, forbidden_headers, places }
    }

    /// Tells the function's owner why a request was refused, and which line would allow it.
    fn refuse(&self, instance: u64, uri: &http::Uri) {
        let destination = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            _ => uri.to_string(),
        };
        let text = format!(
            "outbound request to {destination} refused: add it to the manifest, \
             [function.{}] allow_outbound = [\"{destination}\"]",
            self.function
        );
        if self.log.admits(1, text.len()) {
            self.log.write(instance, None, LogStream::Stderr, text);
        } else {
            self.log.drop_lines(1);
        }
    }
}

/// Whether a header belongs to a connection, not to a message, and so is never a guest's: wasmtime's own list, as a match that
/// looks at a name once. Asked for each header of each message.
fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "http2-settings"
    )
}

/// wasmtime's way to ask, per instance.
pub(crate) struct Hooks {
    outbound: Arc<Outbound>,
    instance: u64,
    /// Bodies that the guest has begun to write in the present invocation.
    bodies: u32,
}

/// Bodies of one invocation that get large pieces; one that opens very many would make the host keep as many times as much.
const LARGE_BODIES: u32 = 8;

impl Hooks {
    pub(crate) fn new(outbound: Arc<Outbound>, instance: u64) -> Self {
        Self { outbound, instance, bodies: 0 }
    }

    /// Says that an invocation begins that has the instance for itself.
    pub(crate) fn begin(&mut self) {
        self.bodies = 0;
    }
}

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&self.outbound.forbidden_headers)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.bodies = self.bodies.saturating_add(1);
        if self.bodies <= LARGE_BODIES { 64 << 10 } else { 8 << 10 }
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processing: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.outbound.allowed.iter().any(|pattern| pattern.allows(request.uri())) {
            self.outbound.refuse(self.instance, request.uri());
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(send(Arc::clone(&self.outbound), request, options.unwrap_or_default()))
    }
}

async fn send(outbound: Arc<Outbound>, mut request: http::Request<WasiBody>, options: RequestOptions) -> Sent {
    *request.version_mut() = http::Version::HTTP_11;
    let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let answer = timeout(connect.saturating_add(first_byte), async {
        let place = Arc::clone(&outbound.places).acquire_owned().await.expect("the semaphore is never closed");
        (outbound.client.0.request(request).await, place)
    });
    let (response, place) = answer.await.map_err(|_| Error::ConnectionReadTimeout)?;
    let response = response.map_err(|error| send_error(&error))?;
    let response = response.map(|body| TimedBody::new(body, between_bytes, place).boxed_unsync());
    Ok((response, Box::new(async { Ok(()) })))
}

fn send_error(error: &hyper_util::client::legacy::Error) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                io::ErrorKind::InvalidData => Error::TlsProtocolError,
                _ if error.to_string().contains("dns error") || error.to_string().contains("lookup") => {
                    Error::DnsError { rcode: None, info_code: None }
                }
                _ => Error::ConnectionTerminated,
            };
        }
        if cause.to_string().contains("dns error") {
            return Error::DnsError { rcode: None, info_code: None };
        }
        source = cause.source();
    }
    if error.is_connect() { Error::DestinationUnavailable } else { Error::HttpProtocolError }
}

/// A response's body that gives up when nothing comes for too long.
struct TimedBody {
    body: Incoming,
    between_bytes: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// The request is under way until its answer is read, or dropped.
    _place: OwnedSemaphorePermit,
}

impl TimedBody {
    fn new(body: Incoming, between_bytes: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { body, between_bytes, waiting: None, _place: place }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame.map(|result| result.map_err(Error::Hyper)));
        }
        let between_bytes = self.between_bytes;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(between_bytes)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forbidden_headers_are_those_of_wasmtime() {
        for name in wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS {
            assert!(is_forbidden(&name), "{name}");
        }
        for name in ["content-type", "te", "trailer", "cookie", "authorization", "x-host"] {
            assert!(!is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
    }
}
