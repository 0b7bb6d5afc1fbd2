//! A call that can be made more than once, with its body and how that comes.

use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};

/// How long a body that takes its time waits between two pieces.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub(crate) struct Call {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Vec<Piece>,
}

/// A part of a body.
#[derive(Clone)]
enum Piece {
    Bytes(Bytes),
    Pause,
    Trailers(HeaderMap),
    /// The caller's connection breaks.
    Break,
}

/// What it is called in messages.
impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {} with {} headers and {} pieces of a body",
            self.method,
            self.uri,
            self.headers.len(),
            self.body.len()
        )
    }
}

pub(crate) type CallBody = UnsyncBoxBody<Bytes, io::Error>;

impl Call {
    pub(crate) fn get(query: &str) -> Self {
        Self::new(Method::GET, &format!("http://host.example/?{query}")).header("host", "host.example")
    }

    pub(crate) fn post(query: &str) -> Self {
        Self { method: Method::POST, ..Self::get(query) }
    }

    /// With no header at all.
    pub(crate) fn new(method: Method, uri: &str) -> Self {
        Self { method, uri: uri.to_owned(), headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.parse().expect("a method");
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// One more piece of the body, which is there at once.
    pub(crate) fn piece(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body.push(Piece::Bytes(bytes.into()));
        self
    }

    pub(crate) fn pause(mut self) -> Self {
        self.body.push(Piece::Pause);
        self
    }

    pub(crate) fn breaks(mut self) -> Self {
        self.body.push(Piece::Break);
        self
    }

    pub(crate) fn trailers<const N: usize>(mut self, trailers: [(&'static str, &'static str); N]) -> Self {
        let trailer = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        self.body.push(Piece::Trailers(trailers.into_iter().map(trailer).collect()));
        self
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The request, once more.
    pub(crate) fn request(&self) -> Request<CallBody> {
        let mut request = Request::new(self.body());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.parse().expect("a uri");
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn body(&self) -> CallBody {
        if self.body.is_empty() {
            return Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        let frames = futures_util::stream::iter(self.body.clone()).filter_map(async |piece| match piece {
            Piece::Bytes(bytes) => Some(Ok(Frame::data(bytes))),
            Piece::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Piece::Break => Some(Err(io::ErrorKind::ConnectionReset.into())),
            Piece::Pause => {
                tokio::time::sleep(PAUSE).await;
                None
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }
}
