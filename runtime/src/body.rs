//! Bodies on their way through a host: a request's, which is measured, and an answer's, which drives its guest.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use samovar_model::Fault;
use tokio::task::AbortHandle;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::invocation::Invocation;

/// How soon a deadline is looked at again that could not be seen to at once.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long a connection may go on sending pieces of a body before others have their turn. The runtime looks for new events only
/// once in 61 turns while there is always something to run, so this is what bounds how long a new caller may wait.
const TURN: Duration = Duration::from_millis(1);

/// A request's body that fails once more has come than the function accepts.
pub(crate) struct LimitedBody<B> {
    pub(crate) body: B,
    pub(crate) left_bytes: u64,
    pub(crate) exceeded: Arc<AtomicBool>,
}

impl<B> Body for LimitedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            None => None,
            // The caller's connection broke, or what it sent is not HTTP.
            Some(Err(_)) => Some(Err(Error::ConnectionTerminated)),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left_bytes.checked_sub(bytes) {
                    Some(left) => {
                        self.left_bytes = left;
                        Some(Ok(frame))
                    }
                    None => {
                        self.exceeded.store(true, Ordering::Relaxed);
                        Some(Err(Error::HttpRequestBodySize(None)))
                    }
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body. Reading it drives the guest that writes it; dropping it before its end stops the guest.
pub struct ResponseBody(Kind);

enum Kind {
    /// Nothing, of a length that the caller is not told: the answer to a `HEAD` request.
    Silent,
    /// All there is.
    Whole(Bytes),
    /// The rest is still being written.
    Streaming(Watched),
}

pub(crate) struct Streaming {
    /// Frames that have been read ahead.
    ahead: VecDeque<Frame<Bytes>>,
    body: WasiBody,
    invocation: Invocation,
    /// What is left of the length that the guest declared.
    left_bytes: Option<u64>,
    /// The guest's fault, kept until what it wrote before has been read.
    fault: Option<Fault>,
    ended: bool,
    /// When the first piece since the guest last had none was asked for.
    turn: Option<Instant>,
}

impl Streaming {
    pub(crate) fn new(body: WasiBody, invocation: Invocation, length: Option<u64>) -> Self {
        Self { ahead: VecDeque::new(), body, invocation, left_bytes: length, fault: None, ended: false, turn: None }
    }

    /// Reads what the guest has written already. If that is all and in one piece, its length can be told to the caller and
    /// nothing is left to drive.
    ///
    /// # Errors
    /// When the answer is known to break off: better said while its head has not been sent.
    pub(crate) fn poll_ahead(mut self, cx: &mut Context<'_>) -> Result<ResponseBody, Fault> {
        let mut only = None;
        loop {
            match self.poll_next(cx) {
                Poll::Ready(None) if self.ahead.is_empty() => {
                    // The guest may have something left to do.
                    if !self.invocation.is_ended() {
                        let background = self.invocation.record.revision().background.clone();
                        background.spawn(self.invocation.run_out());
                    }
                    return Ok(ResponseBody(Kind::Whole(only.unwrap_or_default())));
                }
                Poll::Ready(Some(Ok(frame))) if only.is_none() && self.ahead.is_empty() && frame.is_data() => {
                    only = frame.into_data().ok();
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.ahead.extend(only.take().map(Frame::data));
                    self.ahead.push_back(frame);
                    break;
                }
                Poll::Ready(Some(Err(fault))) => return Err(fault),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.ahead.extend(only.map(Frame::data));
        Ok(ResponseBody(Kind::Streaming(Watched::new(self))))
    }

    /// The next frame, unless the connection has had its turn.
    fn poll_in_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let began = *self.turn.get_or_insert_with(Instant::now);
        if began.elapsed() >= TURN {
            self.turn = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = self.poll_next(cx);
        if frame.is_pending() {
            self.turn = None;
        }
        frame
    }

    /// The next frame, or the fault that ends the answer.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.fault.is_none()
            && let Poll::Ready(Err(fault)) = self.invocation.poll_rest(cx)
        {
            self.fault = Some(fault);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(left), Some(data)) = (&mut self.left_bytes, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                let fault = self.fault.take().unwrap_or(Fault::InvalidResponse);
                Poll::Ready(Some(Err(self.fail(fault))))
            }
            Poll::Ready(None) => {
                // A body that ends before its declared length must not look whole: the caller would take the next answer on
                // the connection for the rest of this one.
                let short = self.left_bytes.is_some_and(|left| left > 0).then_some(Fault::InvalidResponse);
                let fault = self.fault.take().or_else(|| self.invocation.body_read().err()).or(short);
                match fault {
                    Some(fault) => Poll::Ready(Some(Err(self.fail(fault)))),
                    None => {
                        self.ended = true;
                        self.invocation.record.answered();
                        Poll::Ready(None)
                    }
                }
            }
            Poll::Pending => {
                if let Some(fault) = self.fault.take() {
                    return Poll::Ready(Some(Err(self.fail(fault))));
                }
                // A guest of WASI 0.3 runs by itself, and one of 0.2 may wait for the caller to read on.
                std::task::ready!(self.invocation.poll_deadline(cx));
                let fault = self.invocation.overdue();
                Poll::Ready(Some(Err(self.fail(fault))))
            }
        }
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.ended = true;
        self.invocation.record.failed(fault)
    }

    /// Ends at the deadline although nobody reads on: whoever reads again is told.
    fn expire(&mut self) {
        if !self.ended && self.fault.is_none() {
            let fault = self.invocation.overdue();
            self.fault = Some(self.invocation.record.failed(fault));
            self.body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
    }

    /// Whether the caller has all of the answer.
    fn is_complete(&self) -> bool {
        self.ended || (self.left_bytes == Some(0) && self.ahead.is_empty())
    }
}

/// A stream with a watch over its deadline: a caller that does not read on does not poll it either, and would hold its
/// instance for ever.
struct Watched {
    streaming: Arc<Mutex<Option<Box<Streaming>>>>,
    watch: AbortHandle,
}

impl Watched {
    fn new(streaming: Streaming) -> Self {
        let deadline = streaming.invocation.deadline.at();
        let streaming = Arc::new(Mutex::new(Some(Box::new(streaming))));
        let watch = tokio::spawn({
            let streaming = Arc::clone(&streaming);
            async move {
                tokio::time::sleep_until(deadline).await;
                loop {
                    // While it is locked it is polled, and may come to see the deadline by itself.
                    if let Ok(mut streaming) = streaming.try_lock() {
                        return streaming.iter_mut().for_each(|streaming| streaming.expire());
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        });
        Self { streaming, watch: watch.abort_handle() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Streaming>>> {
        self.streaming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let Kind::Streaming(watched) = std::mem::replace(&mut self.0, Kind::Silent) else { return };
        let Some(streaming) = watched.lock().take() else { return };
        if !streaming.is_complete() {
            return;
        }
        let mut invocation = streaming.invocation;
        match invocation.body_read() {
            Ok(()) => invocation.record.answered(),
            Err(fault) => drop(invocation.record.failed(fault)),
        }
        // The guest works on after its answer, as far as it has something left to do.
        if !invocation.is_ended() {
            let background = invocation.record.revision().background.clone();
            background.spawn(invocation.run_out());
        }
    }
}

impl ResponseBody {
    /// A body without bytes.
    pub(crate) fn empty() -> Self {
        Self(Kind::Whole(Bytes::new()))
    }

    /// A body that nobody will read, as with `HEAD` or status 204: what the guest writes goes nowhere, and it may finish.
    pub(crate) fn silent(self, status: StatusCode) -> Self {
        let Kind::Streaming(watched) = &self.0 else { return Self::empty() };
        let background = watched.lock().as_ref().map(|s| s.invocation.record.revision().background.clone());
        let Some(background) = background else { return Self::empty() };
        let mut unread = self;
        background.spawn(async move {
            while std::future::poll_fn(|cx| Pin::new(&mut unread).poll_frame(cx)).await.is_some_and(|f| f.is_ok()) {}
        });
        let has_no_body = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if has_no_body { Self::empty() } else { Self(Kind::Silent) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.0 {
            Kind::Silent => Poll::Ready(None),
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Streaming(watched) => match watched.lock().as_mut() {
                Some(streaming) => match streaming.ahead.pop_front() {
                    Some(frame) => Poll::Ready(Some(Ok(frame))),
                    None => streaming.poll_in_turn(cx),
                },
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Silent | Kind::Streaming(_) => SizeHint::default(),
        }
    }
}
