//! Requests on one connection to a host, and the bodies of their answers: h2 without a client between.
//!
//! hyper's client passes each request through a channel to a task, and spawns another for its answer. Here the caller's own task
//! does both, and only a body that does not come at once has a task of its own.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::merge::Merge;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How much of a request's body is sent before its answer is waited for, if it is there.
const AT_ONCE_BYTES: usize = 64 << 10;

/// Sends requests on one connection. Clones share it; it stays open until the last one is dropped and the requests have ended.
#[derive(Clone)]
pub struct Sender {
    h2: SendRequest<Bytes>,
    ended: Arc<Ended>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The host has not begun with it, and never will.
    #[error("not sent: {0}")]
    Unsent(#[source] h2::Error),
    /// It cannot be a request of HTTP/2, and was not sent.
    #[error("not a request that can be sent: {0}")]
    Unfit(#[source] h2::Error),
    /// The connection broke, or the host gave it up: it may have begun.
    #[error("lost: {0}")]
    Lost(#[source] h2::Error),
}

impl Sender {
    pub(crate) fn new(h2: SendRequest<Bytes>, ended: Arc<Ended>) -> Self {
        Self { h2, ended }
    }

    /// Whether no request can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.ended.flag.load(Relaxed)
    }

    /// Sends a request, whose URI must be absolute, and waits for the head of its answer.
    ///
    /// # Errors
    /// Whether it may have begun.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, tells the host that the caller is gone.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Answer>, SendError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let (head, body) = request.map(Merge::new).into_parts();
        let mut h2 = self.h2.clone();
        poll_fn(|cx| h2.poll_ready(cx)).await.map_err(|error| self.unsent(error))?;
        let is_end = body.is_end_stream();
        let sent = h2.send_request(Request::from_parts(head, ()), is_end);
        let (answer, stream) = sent.map_err(|error| self.unsent(error))?;
        let upload = if is_end { None } else { Upload::begin(body, stream).await };
        Self::answer(answer, upload).await
    }

    async fn answer(answer: ResponseFuture, upload: Option<Upload>) -> Result<Response<Answer>, SendError> {
        let response = answer.await.map_err(|error| match was_refused(&error) {
            true => SendError::Unsent(error),
            false => SendError::Lost(error),
        })?;
        let length = content_length(response.headers());
        Ok(response.map(|stream| Answer { stream, left: length, data_ended: false, _upload: upload }))
    }

    /// Why h2 does not take a request: itself, or a connection that is at its end or about to be.
    fn unsent(&self, error: h2::Error) -> SendError {
        if !(error.is_io() || error.is_go_away()) {
            return SendError::Unfit(error);
        }
        self.ended.end();
        SendError::Unsent(error)
    }

    /// Waits until no request can be sent any more.
    pub async fn closed(&self) {
        self.ended.wait().await;
    }
}

/// Whether a connection takes requests.
#[derive(Default)]
pub(crate) struct Ended {
    flag: AtomicBool,
    told: Notify,
}

impl Ended {
    pub(crate) fn end(&self) {
        self.flag.store(true, Relaxed);
        self.told.notify_waiters();
    }

    async fn wait(&self) {
        let mut told = std::pin::pin!(self.told.notified());
        // Before the flag is read, so that what is told in between is heard.
        told.as_mut().enable();
        if !self.flag.load(Relaxed) {
            told.await;
        }
    }
}

/// Whether the other end says that it has not begun with the request: it refused the stream, or was going away before it came
/// (RFC 9113, 8.7).
fn was_refused(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote())
}

fn content_length(head: &HeaderMap) -> Option<u64> {
    head.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A request's body that is still being sent, by a task that ends when this is dropped.
struct Upload(AbortHandle);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Upload {
    /// Sends what is there of the body; nothing is left to do if that is all.
    async fn begin<B>(mut body: B, mut stream: SendStream<Bytes>) -> Option<Self>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let mut sent = 0;
        while sent < AT_ONCE_BYTES {
            let frame = match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
                Poll::Ready(frame) => frame,
                Poll::Pending => break,
            };
            sent += frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len)).unwrap_or(0);
            // Little enough to be kept until the host has room for it.
            if !pass_on(&mut stream, frame, body.is_end_stream()) {
                return None;
            }
        }
        Some(Self(tokio::spawn(Box::pin(upload(body, stream))).abort_handle()))
    }
}

/// Sends one frame of a body; false when it was the last.
fn pass_on<E>(stream: &mut SendStream<Bytes>, frame: Option<Result<Frame<Bytes>, E>>, is_end: bool) -> bool
where
    E: Into<BoxError>,
{
    let passed = match frame {
        None => stream.send_data(Bytes::new(), true).map(|()| false),
        Some(Err(error)) => {
            tracing::debug!(error = %error.into(), "a request's body broke off");
            stream.send_reset(Reason::CANCEL);
            return false;
        }
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => stream.send_data(data, is_end).map(|()| !is_end),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                stream.send_trailers(trailers).map(|()| false)
            }
        },
    };
    // The stream has ended otherwise: the answer tells how.
    passed.unwrap_or(false)
}

/// Sends the rest of a body, no faster than the host takes it.
async fn upload<B>(mut body: B, mut stream: SendStream<Bytes>)
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError> + Send,
{
    loop {
        // Reset by the host, or by its connection's end: nobody wants the rest.
        let next = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Err(())),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Ok),
        });
        let Ok(frame) = next.await else { return };
        let mut frame = frame;
        if let Some(Ok(data)) = &mut frame
            && let Some(data) = data.data_mut()
            && !make_room(&mut stream, data).await
        {
            return;
        }
        if !pass_on(&mut stream, frame, body.is_end_stream()) {
            return;
        }
    }
}

/// Waits until the host has room for a piece, and sends what it has room for; the last part is left.
async fn make_room(stream: &mut SendStream<Bytes>, data: &mut Bytes) -> bool {
    loop {
        stream.reserve_capacity(data.len());
        if stream.capacity() >= data.len() {
            return true;
        }
        let room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(room)) => room,
            _ => return false,
        };
        if room < data.len() && room > 0 && stream.send_data(data.split_to(room), false).is_err() {
            return false;
        }
    }
}

/// The body of an answer. The host sends no more than is read.
pub struct Answer {
    stream: RecvStream,
    /// What is left of the length that the head declared.
    left: Option<u64>,
    data_ended: bool,
    _upload: Option<Upload>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.stream.flow_control().release_capacity(data.len())?;
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.stream.is_end_stream() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}
