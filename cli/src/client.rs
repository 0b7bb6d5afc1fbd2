//! The HTTP client: one request at a time, bodies streamed both ways, and connection errors in words.

use std::error::Error;
use std::io;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A request's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body of bytes in memory.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection.
    #[error("{0}")]
    Connect(String),
    /// The connection broke before the answer.
    #[error("{0}")]
    Broken(String),
}

/// An HTTP client for `http` and `https`.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Body>,
}

impl Client {
    /// A client that trusts the usual certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .context("cannot set up TLS")?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self { inner: legacy::Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Sends a request and waits for the head of the answer. Dropping the future closes the connection.
    ///
    /// # Errors
    /// When there is no connection or it breaks.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, SendError> {
        self.inner.request(request).await.map_err(|error| {
            let words = root_cause(&error);
            if error.is_connect() { SendError::Connect(words) } else { SendError::Broken(words) }
        })
    }
}

/// The innermost cause, in words without numbers of the operating system.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
        Some(io::ErrorKind::TimedOut) => format!("no connection within {CONNECT_TIMEOUT:?}"),
        _ => cause.to_string(),
    }
}
