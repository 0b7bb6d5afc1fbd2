//! Requests as a caller makes them, and the answers.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pooled, Error};
use hyper_util::rt::TokioExecutor;
use samovar_model::api::Problem;
use serde_json::Value;

use crate::wait::within;

type RequestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// Keeps connections, one pool for each version of HTTP.
#[derive(Clone)]
pub(crate) struct Client {
    http1: Pooled<HttpConnector, RequestBody>,
    http2: Pooled<HttpConnector, RequestBody>,
}

impl Client {
    pub(crate) fn new() -> Self {
        // A request that was lost must be seen as lost.
        let builder = || Pooled::builder(TokioExecutor::new()).retry_canceled_requests(false).clone();
        Self { http1: builder().build_http(), http2: builder().http2_only(true).build_http() }
    }
}

/// A request that is being put together.
pub struct Call {
    client: Client,
    request: http::request::Builder,
    body: RequestBody,
    http2: bool,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers; empty when there are none.
    pub trailers: HeaderMap,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Call {
    pub(crate) fn new(client: Client, to: SocketAddr, path: &str) -> Self {
        let request = Request::builder().uri(format!("http://{to}{path}"));
        Self { client, request, body: boxed(Full::new(Bytes::new())), http2: false }
    }

    /// Uses this method instead of GET.
    pub fn method(mut self, method: Method) -> Self {
        self.request = self.request.method(method);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Speaks HTTP/2 from the first byte (prior knowledge).
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Posts a body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let mut call = self.method(Method::POST);
        call.body = boxed(Full::new(body.into()));
        call
    }

    /// Posts a body that is sent as the stream makes it.
    pub fn stream(self, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        self.frames(chunks.map(Frame::data))
    }

    /// Posts a body with trailers.
    pub fn body_with_trailers(self, body: &'static str, trailers: HeaderMap) -> Self {
        self.frames(stream::iter([Frame::data(Bytes::from_static(body.as_bytes())), Frame::trailers(trailers)]))
    }

    fn frames(self, frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Self {
        let mut call = self.method(Method::POST);
        call.body = StreamBody::new(frames.map(Ok::<_, std::io::Error>)).boxed_unsync();
        call
    }

    /// Posts JSON.
    pub fn json(self, value: &impl ToString) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Sends it and waits for the answer's head.
    ///
    /// # Errors
    /// When there is none.
    pub async fn try_open(self) -> Result<Streaming, Error> {
        let request = self.request.body(self.body).expect("a valid request");
        let client = if self.http2 { &self.client.http2 } else { &self.client.http1 };
        let response = within("the answer's head", client.request(request)).await?;
        let (head, body) = response.into_parts();
        Ok(Streaming { status: head.status, headers: head.headers, body })
    }

    /// Sends it and waits for the answer's head.
    pub async fn open(self) -> Streaming {
        self.try_open().await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    /// When there is none, or it breaks off.
    pub async fn try_send(self) -> Result<Answer, String> {
        self.try_open().await.map_err(|error| format!("no answer: {error:?}"))?.finish().await
    }

    /// Sends it and waits for the whole answer.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|error| panic!("{error}"))
    }
}

fn boxed(body: Full<Bytes>) -> RequestBody {
    body.map_err(|never| match never {}).boxed_unsync()
}

impl Streaming {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn try_chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            match within("the next piece of the body", self.body.frame()).await.transpose()? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        self.try_chunk().await.unwrap_or_else(|error| panic!("the body broke off: {error:?}"))
    }

    /// Whether the body's length is known from the head.
    pub fn declared_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Waits for the rest.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn finish(self) -> Result<Answer, String> {
        let collected = within("the end of the body", self.body.collect()).await;
        let collected = collected.map_err(|error| format!("the body broke off: {error:?}"))?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(Answer { status: self.status, headers: self.headers, body: collected.to_bytes(), trailers })
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// A header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("the header is text"))
    }

    /// `warm` or `cold`.
    pub fn instance(&self) -> &str {
        self.header("x-samovar-instance")
    }

    /// Sees that this is an ordinary answer, and gives its text.
    pub fn ok(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.text()
    }

    /// The same, from an instance that was made for it.
    pub fn cold(&self) -> &str {
        assert_eq!(self.instance(), "cold", "{}", String::from_utf8_lossy(&self.body));
        self.ok()
    }

    /// The same, from an instance that was waiting.
    pub fn warm(&self) -> &str {
        assert_eq!(self.instance(), "warm", "{}", String::from_utf8_lossy(&self.body));
        self.ok()
    }

    /// Sees that this is a problem document with a status, a kind and an origin, and gives it.
    pub fn problem(&self, status: u16, kind: &str, origin: &str) -> Problem {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("x-samovar-origin"), origin);
        let problem: Problem = serde_json::from_slice(&self.body).expect("a problem document");
        assert_eq!(problem.kind, format!("/problems/{kind}"));
        assert_eq!(problem.status, status);
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
        assert_eq!(problem.request_id.as_deref(), Some(self.header("x-request-id")));
        problem
    }
}
