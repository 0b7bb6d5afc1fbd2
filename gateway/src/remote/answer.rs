//! The body of an answer that comes from a host elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use samovar_hop::Answer;
use samovar_model::Fault;

use crate::balance::Guard;

/// An answer's body. Its request counts as in flight until it ends; dropped before, the host is told that the caller is gone.
pub struct RemoteBody {
    body: Answer,
    /// With what its time counts from.
    guard: Option<(Guard, Instant)>,
}

impl RemoteBody {
    pub(super) fn new(body: Answer, guard: Guard, started: Instant) -> Self {
        let mut answer = Self { body, guard: Some((guard, started)) };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    fn end(&mut self) {
        if let Some((guard, started)) = self.guard.take() {
            guard.end(started.elapsed());
        }
    }
}

impl Drop for RemoteBody {
    fn drop(&mut self) {
        self.end();
    }
}

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.as_ref().is_none_or(Result::is_err) || self.body.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                tracing::debug!(%error, "an answer broke off between host and gateway");
                Fault::HostLost
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
