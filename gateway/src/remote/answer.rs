//! The body of an answer that comes from a host elsewhere.
//!
//! What is there when the head comes is read at once: most answers are whole then, and hold nothing of the connection to the
//! host while their callers read them. The others are dropped at their function's deadline, whether anybody reads or not.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use samovar_hop::Received;
use samovar_model::Fault;
use tokio::task::AbortHandle;

use crate::balance::Guard;

/// How much of an answer is read before its caller wants it.
const AHEAD_BYTES: usize = 64 << 10;

/// An answer's body. Its request counts as in flight until it ends; dropped before, the host is told that the caller is gone.
pub struct RemoteBody {
    /// What has been read ahead.
    ahead: VecDeque<Frame<Bytes>>,
    ahead_bytes: u64,
    rest: Option<Rest>,
}

/// What is still coming.
struct Rest {
    stream: Arc<Mutex<Stream>>,
    watch: AbortHandle,
}

/// Empty once its deadline has passed.
struct Stream(Option<InFlight>);

struct InFlight {
    answer: Received,
    /// With what its time counts from.
    guard: Option<(Guard, Instant)>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some((guard, started)) = self.guard.take() {
            guard.end(started.elapsed());
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl RemoteBody {
    /// Reads what is there. The guard's times count from `started`; the rest must have come by `deadline`.
    ///
    /// # Errors
    /// When the answer is known to break off: better said while its head has not been sent.
    pub(super) fn read(
        answer: Received,
        guard: Guard,
        started: Instant,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Self, Fault> {
        let mut in_flight = InFlight { answer, guard: Some((guard, started)) };
        let mut body = Self { ahead: VecDeque::new(), ahead_bytes: 0, rest: None };
        while body.ahead_bytes < AHEAD_BYTES as u64 {
            if in_flight.answer.is_end_stream() {
                return Ok(body);
            }
            match Pin::new(&mut in_flight.answer).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    body.ahead_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                    body.ahead.push_back(frame);
                }
                Poll::Ready(Some(Err(error))) => return Err(broken(&error)),
                Poll::Ready(None) => return Ok(body),
                Poll::Pending => break,
            }
        }
        let stream = Arc::new(Mutex::new(Stream(Some(in_flight))));
        let watch = tokio::spawn({
            let stream = Arc::clone(&stream);
            async move {
                tokio::time::sleep_until(deadline.into()).await;
                lock(&stream).0 = None;
            }
        });
        body.rest = Some(Rest { stream, watch: watch.abort_handle() });
        Ok(body)
    }
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken(error: &dyn std::fmt::Display) -> Fault {
    tracing::debug!(%error, "an answer broke off between host and gateway");
    Fault::HostLost
}

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes -= frame.data_ref().map_or(0, Bytes::len) as u64;
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(rest) = &self.rest else { return Poll::Ready(None) };
        let frame = match &mut lock(&rest.stream).0 {
            Some(in_flight) => ready!(Pin::new(&mut in_flight.answer).poll_frame(cx)),
            None => return Poll::Ready(Some(Err(broken(&"its deadline has passed")))),
        };
        let is_last = frame.as_ref().is_none_or(Result::is_err)
            || lock(&rest.stream).0.as_ref().is_none_or(|in_flight| in_flight.answer.is_end_stream());
        if is_last {
            self.rest = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| broken(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead_bytes;
        let rest = self.rest.as_ref().map(|rest| match &lock(&rest.stream).0 {
            Some(in_flight) => in_flight.answer.size_hint(),
            None => SizeHint::default(),
        });
        match rest.map(|rest| rest.exact()) {
            None => SizeHint::with_exact(ahead),
            Some(Some(rest)) => SizeHint::with_exact(ahead + rest),
            Some(None) => SizeHint::default(),
        }
    }
}
