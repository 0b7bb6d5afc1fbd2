//! Bodies that are sent: a request's by its caller, an answer's by a host. No faster than the other end takes them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use tokio::task::AbortHandle;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How much of a body is sent at once, if it is there: little enough to be kept until the other end has room for it.
const AT_ONCE_BYTES: usize = 64 << 10;

/// A body that a task is still sending, until this is dropped.
pub(crate) struct Sending(AbortHandle);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sending {
    /// Sends what is there of the body; nothing is left to do if that is all.
    pub(crate) async fn begin<B>(mut body: B, mut stream: SendStream<Bytes>) -> Option<Self>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let is_rest = poll_fn(|cx| Poll::Ready(send_ready(&mut body, &mut stream, cx))).await;
        is_rest.then(|| Self(tokio::spawn(Box::pin(send_rest(body, stream))).abort_handle()))
    }
}

/// Sends a whole body.
pub(crate) async fn send<B>(mut body: B, mut stream: SendStream<Bytes>)
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError> + Send,
{
    if poll_fn(|cx| Poll::Ready(send_ready(&mut body, &mut stream, cx))).await {
        send_rest(body, stream).await;
    }
}

/// Sends what is there of a body, as far as it is little; false when that was all.
fn send_ready<B>(body: &mut B, stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> bool
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut sent = 0;
    while sent < AT_ONCE_BYTES {
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { break };
        sent += frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len)).unwrap_or(0);
        if !pass_on(stream, frame, body.is_end_stream()) {
            return false;
        }
    }
    true
}

/// Sends one frame of a body; false when it was the last.
fn pass_on<E>(stream: &mut SendStream<Bytes>, frame: Option<Result<Frame<Bytes>, E>>, is_end: bool) -> bool
where
    E: Into<BoxError>,
{
    let passed = match frame {
        None => stream.send_data(Bytes::new(), true).map(|()| false),
        Some(Err(error)) => {
            tracing::debug!(error = %error.into(), "a body broke off");
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
    // The stream has ended otherwise: whoever waits for it is told how.
    passed.unwrap_or(false)
}

/// Sends the rest of a body, no faster than the other end takes it.
async fn send_rest<B>(mut body: B, mut stream: SendStream<Bytes>)
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError> + Send,
{
    loop {
        // Reset by the other end, or by its connection's end: nobody wants the rest.
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

/// Waits until the other end has room for a piece, and sends what it has room for; the last part is left.
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
