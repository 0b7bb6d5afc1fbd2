//! WASI 0.2: one request at a time in an instance, driven by `wstd`'s reactor.
//!
//! Every call over the boundary costs about as much as all of a small handler, so this file makes few: the body is opened when
//! it is read, a list of headers goes over in one call, and a pollable is only made for what really has to be waited for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Method};
use http_body::{Body as _, Frame, SizeHint};
use wasip2::http::outgoing_handler;
use wasip2::http::types as wasi;
use wasip2::io::streams::{InputStream, StreamError};
use wstd::io::AsyncOutputStream;
use wstd::runtime::{AsyncPollable, Reactor, WaitFor};

use super::{Export, head, keeping};
use crate::outbound::Timeouts;
use crate::{Body, BodyError, Error, IntoResponse, Reads, Request, Response, Result, SendError};

/// The most that `blocking-write-and-flush` takes.
const SHORT_BYTES: usize = 4096;

/// How much is read from the host at once.
const CHUNK_BYTES: u64 = 64 << 10;

pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) async fn sleep(duration: Duration) {
    wstd::task::sleep(duration.into()).await;
}

/// Answers one request: what the export `wasi:http/incoming-handler` calls.
pub fn handle<E: Export>(request: wasi::IncomingRequest, out: wasi::ResponseOutparam) {
    wstd::runtime::block_on(async move {
        let response = match read_request(request, E::READS) {
            Ok(request) => keeping(E::respond(request)).await,
            Err(error) => error.into_response(),
        };
        respond(response, out).await;
    });
}

fn read_request(request: wasi::IncomingRequest, reads: Reads) -> Result<Request> {
    let parts = head::parts(&request, reads)?;
    // Kept by the handler, read or not: without it the platform would give up what of the body is still to come.
    let length = head::content_length(&parts.headers);
    Ok(Request::from_parts(parts, Body::incoming(Incoming::new(Message::Request(request), length))))
}

impl head::RequestHead for wasi::IncomingRequest {
    fn method(&self) -> Result<Method> {
        read_method(self.method())
    }

    fn path(&self) -> Option<String> {
        self.path_with_query()
    }

    fn origin(&self) -> Result<head::Origin> {
        let authority = self.authority().map(head::authority).transpose()?;
        Ok(head::Origin { scheme: self.scheme().and_then(read_scheme), authority })
    }

    fn fields(&self) -> Vec<head::Field> {
        self.headers().entries()
    }
}

fn read_method(method: wasi::Method) -> Result<Method> {
    Ok(match method {
        wasi::Method::Get => Method::GET,
        wasi::Method::Head => Method::HEAD,
        wasi::Method::Post => Method::POST,
        wasi::Method::Put => Method::PUT,
        wasi::Method::Delete => Method::DELETE,
        wasi::Method::Connect => Method::CONNECT,
        wasi::Method::Options => Method::OPTIONS,
        wasi::Method::Trace => Method::TRACE,
        wasi::Method::Patch => Method::PATCH,
        wasi::Method::Other(name) => Method::from_bytes(name.as_bytes())
            .map_err(|error| Error::bad_request(format!("method `{name}`: {error}")))?,
    })
}

fn read_scheme(scheme: wasi::Scheme) -> Option<Scheme> {
    match scheme {
        wasi::Scheme::Http => Some(Scheme::HTTP),
        wasi::Scheme::Https => Some(Scheme::HTTPS),
        wasi::Scheme::Other(name) => name.parse().ok(),
    }
}

async fn respond(response: Response, out: wasi::ResponseOutparam) {
    let (mut parts, body) = response.into_parts();
    // The platform has all of a short body when it sends the head, and sees its length.
    let body = body.into_short(SHORT_BYTES);
    if let Err(body) = &body
        && head::may_have_length(parts.status)
    {
        head::set_content_length(&mut parts.headers, body);
    }
    let response = wasi::OutgoingResponse::new(write_fields(&parts.headers));
    if parts.status != http::StatusCode::OK && response.set_status_code(parts.status.as_u16()).is_err() {
        eprintln!("the platform refuses the status {}", parts.status);
    }
    let outgoing = response.body().expect("the body of a new response is there");
    // The head goes first: a body of any length could otherwise wait for a reader who has not heard of it.
    wasi::ResponseOutparam::set(out, Ok(response));
    match body {
        Ok(bytes) => write_short(&bytes, outgoing),
        Err(body) => write_body(body, outgoing).await,
    }
}

/// One call in place of three. There is room for the first bytes of a body, so this does not block.
fn write_short(bytes: &[u8], outgoing: wasi::OutgoingBody) {
    if !bytes.is_empty() {
        let stream = outgoing.write().expect("the stream of a new body is there");
        if stream.blocking_write_and_flush(bytes).is_err() {
            // The reader has gone, which is no fault of the function's.
            return;
        }
    }
    finish(outgoing, None);
}

fn finish(outgoing: wasi::OutgoingBody, trailers: Option<wasi::Fields>) {
    if let Err(error) = wasi::OutgoingBody::finish(outgoing, trailers) {
        eprintln!("the platform refuses the body: {error}");
    }
}

/// One call for all of them; one by one only to say which of them the platform refuses.
fn write_fields(headers: &HeaderMap) -> wasi::Fields {
    let list = head::fields(headers);
    wasi::Fields::from_list(&list).unwrap_or_else(|_| {
        let fields = wasi::Fields::new();
        for (name, value) in &list {
            if let Err(error) = fields.append(name, value) {
                eprintln!("the platform refuses the header `{name}`: {error}");
            }
        }
        fields
    })
}

/// A body that breaks off is never finished, and the peer sees that it is incomplete.
async fn write_body(mut body: Body, outgoing: wasi::OutgoingBody) {
    let mut trailers = None;
    if !body.is_end_stream() {
        let stream = AsyncOutputStream::new(outgoing.write().expect("the stream of a new body is there"));
        while let Some(frame) = next_frame(&mut body).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => {
                    // The reader has gone, which is no fault of the function's.
                    if stream.write_all(&data).await.is_err() {
                        return;
                    }
                }
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => {
                    eprintln!("the body broke off: {error}");
                    return;
                }
            }
        }
    }
    finish(outgoing, trailers.map(|trailers| write_fields(&trailers)));
}

async fn next_frame(body: &mut Body) -> Option<Result<Frame<Bytes>, BodyError>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// The body of a message that came over the boundary.
pub(crate) struct Incoming {
    state: State,
    length: Option<u64>,
}

enum Message {
    Request(wasi::IncomingRequest),
    Response(wasi::IncomingResponse),
}

/// `Unread => Reading => Trailers => Done`. The host traps when a parent goes before its children, so the fields stand in the
/// order in which they must be dropped.
enum State {
    Unread(Message),
    Reading { waiting: Waiting, stream: InputStream, body: wasi::IncomingBody, _message: Message },
    Trailers { waiting: Waiting, trailers: wasi::FutureTrailers, _message: Message },
    Done,
}

impl Incoming {
    fn new(message: Message, length: Option<u64>) -> Self {
        Self { state: State::Unread(message), length }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.state {
                State::Unread(_) => self.open()?,
                State::Reading { waiting, stream, .. } => {
                    let read = || match stream.read(CHUNK_BYTES) {
                        Ok(data) if data.is_empty() => None,
                        read => Some(read),
                    };
                    match ready!(waiting.poll(cx, read, || stream.subscribe())) {
                        Ok(data) => {
                            self.length = self.length.map(|length| length.saturating_sub(data.len() as u64));
                            return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                        }
                        Err(StreamError::Closed) => self.close(),
                        Err(StreamError::LastOperationFailed(error)) => {
                            let error = BodyError::new(error.to_debug_string());
                            self.state = State::Done;
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
                State::Trailers { waiting, trailers, .. } => {
                    let result = ready!(waiting.poll(cx, || trailers.get(), || trailers.subscribe()));
                    self.state = State::Done;
                    return Poll::Ready(read_trailers(result).transpose());
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }

    /// Whoever waited for the next piece has given up.
    pub(crate) fn stop_waiting(&mut self) {
        if let State::Reading { waiting, .. } | State::Trailers { waiting, .. } = &mut self.state {
            waiting.now = None;
        }
    }

    fn open(&mut self) -> Result<(), BodyError> {
        let State::Unread(message) = std::mem::replace(&mut self.state, State::Done) else { return Ok(()) };
        let body = match &message {
            Message::Request(request) => request.consume(),
            Message::Response(response) => response.consume(),
        };
        let body = body.map_err(|()| BodyError::new("the body was taken already"))?;
        let stream = body.stream().map_err(|()| BodyError::new("the body was taken already"))?;
        self.state = State::Reading { waiting: Waiting::default(), stream, body, _message: message };
        Ok(())
    }

    fn close(&mut self) {
        if let State::Reading { waiting, stream, body, _message } = std::mem::replace(&mut self.state, State::Done) {
            drop(waiting);
            drop(stream);
            let trailers = wasi::IncomingBody::finish(body);
            self.state = State::Trailers { waiting: Waiting::default(), trailers, _message };
        }
    }
}

type Trailers = Result<Result<Option<wasi::Trailers>, wasi::ErrorCode>, ()>;

fn read_trailers(trailers: Trailers) -> Result<Option<Frame<Bytes>>, BodyError> {
    let trailers = trailers.map_err(|()| BodyError::new("the trailers were taken already"))?;
    let Some(fields) = trailers.map_err(|code| BodyError::new(format!("{code:?}")))? else { return Ok(None) };
    let headers = head::headers(fields.entries()).map_err(Error::into_body_error)?;
    Ok(Some(Frame::trailers(headers)))
}

/// Waits for one resource, again and again. Its pollable is made at the first wait.
#[derive(Default)]
struct Waiting {
    now: Option<WaitFor>,
    pollable: Option<AsyncPollable>,
}

impl Waiting {
    /// Tries until there is something, and waits in between.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut() -> Option<T>,
        subscribe: impl Fn() -> wasip2::io::poll::Pollable,
    ) -> Poll<T> {
        loop {
            // Before anything else: a wait that is not seen to its end stays with the reactor, which then cannot wait for anything else
            // once this is ready.
            if let Some(now) = &mut self.now {
                ready!(Pin::new(now).poll(cx));
                self.now = None;
            }
            if let Some(done) = attempt() {
                return Poll::Ready(done);
            }
            let pollable = self.pollable.get_or_insert_with(|| AsyncPollable::new(subscribe()));
            self.now = Some(pollable.wait_for());
        }
    }
}

pub(crate) async fn send(request: http::Request<Body>, timeouts: Timeouts) -> Result<Response, SendError> {
    let (mut parts, body) = request.into_parts();
    if body.length().is_some_and(|length| length > 0) {
        head::set_content_length(&mut parts.headers, &body);
    }
    let request = wasi::OutgoingRequest::new(write_fields(&parts.headers));
    write_request(&request, &parts).map_err(|what| SendError::Invalid(format!("{what} of `{}`", parts.uri)))?;
    let outgoing = request.body().expect("the body of a new request is there");
    let answer = outgoing_handler::handle(request, options(timeouts)).map_err(|code| send_error(&parts.uri, code))?;
    // The other side may answer before it has read all, so the rest is written beside. Short bodies are done at once.
    Reactor::current().spawn(write_body(body, outgoing)).detach();

    let mut waiting = Waiting::default();
    let answer = std::future::poll_fn(|cx| waiting.poll(cx, || answer.get(), || answer.subscribe()));
    let answer = answer.await.map_err(|()| SendError::Failed("the answer was taken already".into()))?;
    let answer = answer.map_err(|code| send_error(&parts.uri, code))?;
    read_response(answer).map_err(|error| SendError::Failed(error.to_string()))
}

/// The platform may not know one of them: then its own limits hold.
fn options(timeouts: Timeouts) -> Option<wasi::RequestOptions> {
    if timeouts == Timeouts::default() {
        return None;
    }
    let options = wasi::RequestOptions::new();
    let nanoseconds = |time: Option<Duration>| time.map(head::nanoseconds);
    _ = options.set_connect_timeout(nanoseconds(timeouts.connect));
    _ = options.set_first_byte_timeout(nanoseconds(timeouts.first_byte));
    _ = options.set_between_bytes_timeout(nanoseconds(timeouts.between_bytes));
    Some(options)
}

fn write_request(request: &wasi::OutgoingRequest, parts: &http::request::Parts) -> Result<(), &'static str> {
    request.set_method(&write_method(&parts.method)).map_err(|()| "the method")?;
    let scheme = match parts.uri.scheme_str() {
        Some("https") => wasi::Scheme::Https,
        Some("http") | None => wasi::Scheme::Http,
        Some(other) => wasi::Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme")?;
    request.set_authority(parts.uri.authority().map(|authority| authority.as_str())).map_err(|()| "the host")?;
    request.set_path_with_query(parts.uri.path_and_query().map(|path| path.as_str())).map_err(|()| "the path")
}

fn write_method(method: &Method) -> wasi::Method {
    match *method {
        Method::GET => wasi::Method::Get,
        Method::HEAD => wasi::Method::Head,
        Method::POST => wasi::Method::Post,
        Method::PUT => wasi::Method::Put,
        Method::DELETE => wasi::Method::Delete,
        Method::CONNECT => wasi::Method::Connect,
        Method::OPTIONS => wasi::Method::Options,
        Method::TRACE => wasi::Method::Trace,
        Method::PATCH => wasi::Method::Patch,
        _ => wasi::Method::Other(method.as_str().to_owned()),
    }
}

fn read_response(answer: wasi::IncomingResponse) -> Result<Response> {
    let headers = head::headers(answer.headers().entries())?;
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::from_u16(answer.status())?;
    let length = head::content_length(&headers);
    *response.headers_mut() = headers;
    *response.body_mut() = Body::incoming(Incoming::new(Message::Response(answer), length));
    Ok(response.into())
}

fn send_error(uri: &http::Uri, code: wasi::ErrorCode) -> SendError {
    use wasi::ErrorCode as Code;
    let reason = format!("{uri}: {code:?}");
    match code {
        Code::HttpRequestDenied | Code::DestinationIpProhibited => SendError::Denied(reason),
        Code::DnsError(_)
        | Code::DestinationNotFound
        | Code::DestinationUnavailable
        | Code::DestinationIpUnroutable
        | Code::ConnectionRefused
        | Code::TlsCertificateError => SendError::Unreachable(reason),
        Code::DnsTimeout
        | Code::ConnectionTimeout
        | Code::ConnectionReadTimeout
        | Code::ConnectionWriteTimeout
        | Code::HttpResponseTimeout => SendError::TimedOut(reason),
        Code::HttpRequestMethodInvalid | Code::HttpRequestUriInvalid | Code::HttpRequestUriTooLong => {
            SendError::Invalid(reason)
        }
        Code::LoopDetected => SendError::TooDeep(reason),
        _ => SendError::Failed(reason),
    }
}
