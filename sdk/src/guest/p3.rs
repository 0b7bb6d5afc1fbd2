//! WASI 0.3: several requests at once in an instance, driven by the component model's own tasks.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::{Body as _, Frame, SizeHint};
use send_wrapper::SendWrapper;
use wasip3::http::types::{self as wasi, ErrorCode};
use wasip3::http_compat::{BodyWriter, IncomingBody};
use wasip3::{wit_bindgen, wit_future};

use super::{Export, head, keeping};
use crate::outbound::Timeouts;
use crate::{Body, BodyError, IntoResponse, Reads, Request, Response, Result, SendError};

pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The host's futures are tied to the one thread that there is. The wrapper says so to those who ask for `Send`.
pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
    SendWrapper::new(wasip3::clocks::monotonic_clock::wait_for(head::nanoseconds(duration)))
}

/// Answers one request: what the export `wasi:http/handler` calls.
///
/// # Errors
/// The request's head is not HTTP, or the platform refuses the response's.
pub async fn handle<E: Export>(request: wasi::Request) -> Result<wasi::Response, ErrorCode> {
    let response = match read_request(request, E::READS) {
        Ok(request) => keeping(E::respond(request)).await,
        Err(error) => error.into_response(),
    };
    let (mut parts, body) = response.into_parts();
    if head::may_have_length(parts.status) {
        head::set_content_length(&mut parts.headers, &body);
    }
    let fields = write_fields(&parts.headers);
    let (response, _sent) = match start_body(body) {
        None => {
            let (_, trailers) = wit_future::new(|| Ok(None));
            wasi::Response::new(fields, None, trailers)
        }
        Some((contents, trailers)) => wasi::Response::new(fields, Some(contents), trailers),
    };
    if response.set_status_code(parts.status.as_u16()).is_err() {
        eprintln!("the platform refuses the status {}", parts.status);
    }
    Ok(response)
}

type Contents = (wit_bindgen::StreamReader<u8>, wit_bindgen::FutureReader<Result<Option<wasi::Trailers>, ErrorCode>>);

/// A task of its own writes the body, and ends early when the reader goes.
fn start_body(mut body: Body) -> Option<Contents> {
    if body.is_end_stream() {
        return None;
    }
    let (writer, contents, trailers) = BodyWriter::new();
    wit_bindgen::spawn_local(async move {
        // Any other error means that the reader has gone, which is no fault of the function's.
        if let Err(wasip3::http_compat::Error::HttpBody(error)) = writer.send_http_body(&mut body).await {
            eprintln!("the body broke off: {error}");
        }
    });
    Some((contents, trailers))
}

/// One call for all of them; one by one only to say which of them the platform refuses.
fn write_fields(headers: &HeaderMap) -> wasi::Fields {
    let list = head::fields(headers);
    wasi::Fields::from_list(&list).unwrap_or_else(|_| {
        let fields = wasi::Fields::new();
        for (name, value) in &list {
            if let Err(error) = fields.append(name, value) {
                eprintln!("the platform refuses the header `{name}`: {error:?}");
            }
        }
        fields
    })
}

fn read_request(request: wasi::Request, reads: Reads) -> Result<Request> {
    let parts = head::parts(&request, reads)?;
    let length = head::content_length(&parts.headers);
    // Kept by the handler, read or not: without it the platform would give up what of the body is still to come.
    let message = match reads.headers {
        true => Message::Request(IncomingBody::new(request).map_err(|code| body_error(&code))?),
        false => Message::Unread(request),
    };
    Ok(Request::from_parts(parts, Body::incoming(Incoming { message, length })))
}

impl head::RequestHead for wasi::Request {
    fn method(&self) -> Result<Method> {
        Ok(Method::try_from(self.get_method())?)
    }

    fn path(&self) -> Option<String> {
        self.get_path_with_query()
    }

    fn origin(&self) -> Result<head::Origin> {
        let authority = self.get_authority().map(head::authority).transpose()?;
        Ok(head::Origin { scheme: self.get_scheme().and_then(|scheme| scheme.try_into().ok()), authority })
    }

    fn fields(&self) -> Vec<head::Field> {
        self.get_headers().copy_all()
    }
}

/// The body of a message that came over the boundary.
pub(crate) struct Incoming {
    message: Message,
    length: Option<u64>,
}

enum Message {
    Request(IncomingBody<wasi::Request>),
    /// Of a handler that does not read the body.
    Unread(#[allow(dead_code, reason = "held until the handler is done")] wasi::Request),
    Response(IncomingBody<wasi::Response>),
}

impl Incoming {
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.message {
            Message::Request(body) => Pin::new(body).poll_frame(cx),
            Message::Unread(_) => return Poll::Ready(None),
            Message::Response(body) => Pin::new(body).poll_frame(cx),
        };
        polled.map(|frame| {
            let frame = frame?.map_err(|code| body_error(&code));
            if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
                self.length = self.length.map(|length| length.saturating_sub(data.len() as u64));
            }
            Some(frame)
        })
    }
}

fn body_error(code: &ErrorCode) -> BodyError {
    BodyError::new(format!("{code:?}"))
}

pub(crate) fn send(
    request: http::Request<Body>,
    timeouts: Timeouts,
) -> impl Future<Output = Result<Response, SendError>> + Send {
    SendWrapper::new(exchange(request, timeouts))
}

async fn exchange(request: http::Request<Body>, timeouts: Timeouts) -> Result<Response, SendError> {
    let (mut parts, body) = request.into_parts();
    if body.length().is_some_and(|length| length > 0) {
        head::set_content_length(&mut parts.headers, &body);
    }
    let (fields, options) = (write_fields(&parts.headers), options(timeouts));
    let (request, _sent) = match start_body(body) {
        None => {
            let (_, trailers) = wit_future::new(|| Ok(None));
            wasi::Request::new(fields, None, trailers, options)
        }
        Some((contents, trailers)) => wasi::Request::new(fields, Some(contents), trailers, options),
    };
    write_request(&request, &parts).map_err(|what| SendError::Invalid(format!("{what} of `{}`", parts.uri)))?;
    let answer = wasip3::http::client::send(request).await.map_err(|code| send_error(&parts.uri, &code))?;
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

fn write_request(request: &wasi::Request, parts: &http::request::Parts) -> Result<(), &'static str> {
    request.set_method(&(&parts.method).into()).map_err(|()| "the method")?;
    request.set_scheme(parts.uri.scheme().map(Into::into).as_ref()).map_err(|()| "the scheme")?;
    request.set_authority(parts.uri.authority().map(|authority| authority.as_str())).map_err(|()| "the host")?;
    request.set_path_with_query(parts.uri.path_and_query().map(|path| path.as_str())).map_err(|()| "the path")
}

fn read_response(answer: wasi::Response) -> Result<Response> {
    let headers = head::headers(answer.get_headers().copy_all())?;
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::from_u16(answer.get_status_code())?;
    let length = head::content_length(&headers);
    *response.headers_mut() = headers;
    let body = IncomingBody::new(answer).map_err(|code| body_error(&code))?;
    *response.body_mut() = Body::incoming(Incoming { message: Message::Response(body), length });
    Ok(response.into())
}

fn send_error(uri: &http::Uri, code: &ErrorCode) -> SendError {
    let reason = format!("{uri}: {code:?}");
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => SendError::Denied(reason),
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::TlsCertificateError => SendError::Unreachable(reason),
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => SendError::TimedOut(reason),
        ErrorCode::HttpRequestMethodInvalid | ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => {
            SendError::Invalid(reason)
        }
        ErrorCode::LoopDetected => SendError::TooDeep(reason),
        _ => SendError::Failed(reason),
    }
}
