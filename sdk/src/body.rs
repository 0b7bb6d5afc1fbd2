//! Bodies of requests and responses: complete, streamed, or arriving from the caller.

mod adapt;
mod error;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use serde::de::DeserializeOwned;

use self::adapt::{HttpBody, StreamBody};
pub use self::error::BodyError;
use crate::writer::{Outcome, Writer, WriterBody};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>;

/// How much memory is set aside on a peer's word before its bytes have come.
const TRUSTED_LENGTH_BYTES: u64 = 64 << 10;

/// The body of a request or a response.
///
/// A complete body is one buffer, and goes out with its `content-length` (a short one where the platform sees its length). Anything else is streamed: one frame at a time, the
/// next when the last one has been taken.
///
/// It is a [`Stream`] of `Result<Bytes, BodyError>` and an [`http_body::Body`], so the ecosystem's adapters fit.
///
/// ```
/// use samovar_sdk::Body;
///
/// let body = Body::from("hello");
/// assert_eq!(body.length(), Some(5));
/// # samovar_sdk::testing::block_on(async {
/// assert_eq!(body.text().await.unwrap(), "hello");
/// # });
/// ```
#[derive(Default)]
pub struct Body {
    data: Data,
    trailers: Option<Box<HeaderMap>>,
}

enum Data {
    Complete(Bytes),
    Stream(BoxBody),
    #[cfg(target_family = "wasm")]
    Incoming(crate::guest::Incoming),
}

impl Default for Data {
    fn default() -> Self {
        Self::Complete(Bytes::new())
    }
}

impl Body {
    /// A body of no bytes.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Body::empty().length(), Some(0));
    /// ```
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that is sent as the stream yields it. An error breaks the body off, and the peer sees that it is incomplete.
    ///
    /// ```
    /// use samovar_sdk::{Body, BodyError};
    ///
    /// let chunks = futures_util::stream::iter(["a", "b"].map(Ok::<_, BodyError>));
    /// let body = Body::from_stream(chunks);
    /// assert_eq!(body.length(), None);
    /// # assert_eq!(samovar_sdk::testing::block_on(body.text()).unwrap(), "ab");
    /// ```
    pub fn from_stream<S, D, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<D, E>> + Send + 'static,
        D: Into<Bytes> + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        Self::boxed(Box::pin(StreamBody::new(stream)))
    }

    /// A body that is written by an async block, which runs as the peer takes what it writes.
    ///
    /// ```
    /// use samovar_sdk::Body;
    ///
    /// let body = Body::from_writer(|mut writer| async move {
    ///     for number in 1..=3 {
    ///         writer.write(format!("{number}\n")).await;
    ///     }
    /// });
    /// # assert_eq!(samovar_sdk::testing::block_on(body.text()).unwrap(), "1\n2\n3\n");
    /// ```
    pub fn from_writer<F, Fut>(write: F) -> Self
    where
        F: FnOnce(Writer) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
    {
        Self::boxed(Box::pin(WriterBody::new(write)))
    }

    /// Any other implementation of [`http_body::Body`], with its trailers.
    ///
    /// ```
    /// use samovar_sdk::Body;
    ///
    /// let body = Body::from_http_body(Body::from("any http_body::Body"));
    /// assert_eq!(body.length(), Some(19));
    /// ```
    pub fn from_http_body<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Data: Into<Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::boxed(Box::pin(HttpBody::new(body)))
    }

    /// The bytes of a complete body of no more than this many, without trailers; else the body as it was.
    #[cfg(all(target_family = "wasm", not(feature = "wasip3")))]
    pub(crate) fn into_short(self, limit: usize) -> Result<Bytes, Self> {
        match self {
            Self { data: Data::Complete(bytes), trailers: None } if bytes.len() <= limit => Ok(bytes),
            other => Err(other),
        }
    }

    /// The same body, followed by these trailers.
    ///
    /// ```
    /// use samovar_sdk::Body;
    /// use samovar_sdk::http::{HeaderMap, HeaderValue};
    ///
    /// let mut trailers = HeaderMap::new();
    /// trailers.insert("x-checksum", HeaderValue::from_static("5d41402a"));
    /// let body = Body::from("hello").with_trailers(trailers);
    /// ```
    #[must_use]
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(Box::new(trailers));
        self
    }

    /// The number of bytes still to come, where it is known.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Body::from("four").length(), Some(4));
    /// ```
    pub fn length(&self) -> Option<u64> {
        http_body::Body::size_hint(self).exact()
    }

    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// The body broke off.
    ///
    /// ```
    /// use samovar_sdk::{Body, Result};
    ///
    /// async fn count(mut body: Body) -> Result<usize> {
    ///     let mut bytes = 0;
    ///     while let Some(chunk) = body.chunk().await? {
    ///         bytes += chunk.len();
    ///     }
    ///     Ok(bytes)
    /// }
    /// # assert_eq!(samovar_sdk::testing::block_on(count(Body::from("abc"))).unwrap(), 3);
    /// ```
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        let reading = Reading(self);
        std::future::poll_fn(|cx| Pin::new(&mut *reading.0).poll_next(cx)).await.transpose()
    }

    /// The trailers that came after the data: `None` until [`chunk`](Self::chunk) has returned `None`.
    ///
    /// ```
    /// use samovar_sdk::Body;
    /// use samovar_sdk::http::{HeaderMap, HeaderValue};
    ///
    /// # samovar_sdk::testing::block_on(async {
    /// let sent = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    /// let mut body = Body::from_http_body(Body::from("data").with_trailers(sent.clone()));
    /// while body.chunk().await.unwrap().is_some() {}
    /// assert_eq!(body.trailers(), Some(&sent));
    /// # });
    /// ```
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// All of it, in one buffer. The platform limits a request's body (`limits.request_body` in the manifest).
    ///
    /// # Errors
    /// The body broke off.
    ///
    /// ```
    /// # samovar_sdk::testing::block_on(async {
    /// let body = samovar_sdk::Body::from(vec![1, 2, 3]);
    /// assert_eq!(body.bytes().await.unwrap(), [1, 2, 3].as_slice());
    /// # });
    /// ```
    pub async fn bytes(mut self) -> Result<Bytes, BodyError> {
        if let Data::Complete(data) = &mut self.data {
            return Ok(std::mem::take(data));
        }
        let hint = http_body::Body::size_hint(&self).lower().min(TRUSTED_LENGTH_BYTES);
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity((first.len() + second.len()).max(usize::try_from(hint).unwrap_or(0)));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// All of it, as UTF-8 text.
    ///
    /// # Errors
    /// The body broke off, or is not UTF-8.
    ///
    /// ```
    /// # samovar_sdk::testing::block_on(async {
    /// assert_eq!(samovar_sdk::Body::from("grüß dich").text().await.unwrap(), "grüß dich");
    /// # });
    /// ```
    pub async fn text(self) -> Result<String, BodyError> {
        String::from_utf8(Vec::from(self.bytes().await?)).map_err(|error| BodyError::new(error.utf8_error()))
    }

    /// All of it, read as JSON.
    ///
    /// # Errors
    /// The body broke off, or is not JSON of this shape.
    ///
    /// ```
    /// # samovar_sdk::testing::block_on(async {
    /// let numbers: Vec<u32> = samovar_sdk::Body::from("[1, 2]").json().await.unwrap();
    /// assert_eq!(numbers, [1, 2]);
    /// # });
    /// ```
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, BodyError> {
        serde_json::from_slice(&self.bytes().await?).map_err(BodyError::new)
    }

    fn boxed(body: BoxBody) -> Self {
        Self { data: Data::Stream(body), trailers: None }
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn incoming(incoming: crate::guest::Incoming) -> Self {
        Self { data: Data::Incoming(incoming), trailers: None }
    }
}

/// A body of which a piece is waited for.
struct Reading<'b>(&'b mut Body);

#[cfg(all(target_family = "wasm", not(feature = "wasip3")))]
impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Data::Incoming(incoming) = &mut self.0.data {
            incoming.stop_waiting();
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.data {
            Data::Complete(data) if data.is_empty() => None,
            Data::Complete(data) => Some(Ok(Frame::data(std::mem::take(data)))),
            Data::Stream(stream) => ready!(stream.as_mut().poll_frame(cx)),
            #[cfg(target_family = "wasm")]
            Data::Incoming(incoming) => ready!(incoming.poll_frame(cx)),
        };
        if frame.is_none() {
            // The end is the end, whatever the stream behind would say if it were asked again.
            self.data = Data::default();
        }
        Poll::Ready(frame.or_else(|| self.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
            && match &self.data {
                Data::Complete(data) => data.is_empty(),
                Data::Stream(stream) => stream.is_end_stream(),
                #[cfg(target_family = "wasm")]
                Data::Incoming(_) => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.data {
            Data::Complete(data) => SizeHint::with_exact(data.len() as u64),
            Data::Stream(stream) => stream.size_hint(),
            #[cfg(target_family = "wasm")]
            Data::Incoming(incoming) => incoming.size_hint(),
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.trailers.is_some() && matches!(&self.data, Data::Complete(data) if data.is_empty()) {
                return Poll::Ready(None);
            }
            match ready!(http_body::Body::poll_frame(self.as_mut(), cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(frame) => {
                        self.data = Data::default();
                        self.trailers = frame.into_trailers().ok().map(Box::new);
                    }
                },
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Data::Complete(data) => f.debug_tuple("Body").field(data).finish(),
            _ => f.write_str("Body(stream)"),
        }
    }
}

macro_rules! body_from {
    ($($from:ty => $make:expr),* $(,)?) => {$(
        impl From<$from> for Body {
            fn from(value: $from) -> Self {
                let make: fn($from) -> Bytes = $make;
                Self { data: Data::Complete(make(value)), trailers: None }
            }
        }
    )*};
}

body_from! {
    () => |()| Bytes::new(),
    &'static str => |text| Bytes::from_static(text.as_bytes()),
    &'static [u8] => Bytes::from_static,
    String => Bytes::from,
    Vec<u8> => Bytes::from,
    Bytes => |data| data,
}
