//! The body of an answer to a guest's request: bounded in its length, and in how long it may say nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::Error;

use super::{Outbound, Place};

/// What reads an answer, and whom to tell when it is too large.
pub(in crate::interfaces) struct Reader {
    pub(in crate::interfaces) outbound: Arc<Outbound>,
    pub(in crate::interfaces) instance: u64,
    /// Where it comes from.
    pub(in crate::interfaces) destination: String,
}

/// An answer's body that ends with an error where it gets too long, or nothing comes for too long.
pub(in crate::interfaces) struct Limited<B> {
    body: B,
    left_bytes: u64,
    reader: Reader,
    /// No limit where whoever answers is bound by another one.
    between_bytes: Option<Duration>,
    waiting: Option<Pin<Box<Sleep>>>,
    /// The request is under way until its answer is read, or dropped.
    _place: Place,
}

impl<B: Body<Data = Bytes>> Limited<B> {
    /// # Errors
    /// When the body is known to be too large.
    pub(in crate::interfaces) fn new(
        body: B,
        between_bytes: Option<Duration>,
        reader: Reader,
        place: Place,
    ) -> Result<Self, Error> {
        let left_bytes = reader.outbound.limits.response_body.as_bytes();
        let lower = body.size_hint().lower();
        let limited = Self { body, left_bytes, reader, between_bytes, waiting: None, _place: place };
        if lower > left_bytes { Err(limited.too_large()) } else { Ok(limited) }
    }
}

impl<B> Limited<B> {
    fn too_large(&self) -> Error {
        let Reader { outbound, instance, destination } = &self.reader;
        let limit = outbound.limits.response_body;
        outbound.tell(
            *instance,
            format!(
                "the answer of {destination} was cut off: it is larger than {limit}; raise it in the manifest, \
                 [function.{}.outbound] response_body",
                outbound.function
            ),
        );
        Error::HttpResponseBodySize(Some(limit.as_bytes()))
    }
}

impl<B> Body for Limited<B>
where
    B: Body<Data = Bytes, Error: Into<Error>> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            let Some(Ok(frame)) = frame else {
                return Poll::Ready(frame.map(|result| result.map_err(Into::into)));
            };
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(left) = self.left_bytes.checked_sub(bytes) else {
                return Poll::Ready(Some(Err(self.too_large())));
            };
            self.left_bytes = left;
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(between_bytes) = self.between_bytes else { return Poll::Pending };
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
