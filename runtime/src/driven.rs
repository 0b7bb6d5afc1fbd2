//! A guest that is driven: where its connection is served, and on the slow lane while it computes for longer than its turn.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::lane::{Away, Back, Lane, Running};
use crate::turn;

/// A guest that is driven by whoever polls this. Dropping it stops the guest.
pub(crate) enum Driven<T> {
    /// It runs when it is polled here.
    Here {
        guest: Running<T>,
        /// Whether it has waited for something since it began.
        resumed: bool,
    },
    /// It runs by itself, on the slow lane.
    Away(Away<T>),
}

impl<T: Send + 'static> Driven<T> {
    /// A guest that has not begun. Its epoch deadline is set anew before it is polled.
    pub(crate) fn new(guest: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Here { guest: Box::pin(guest), resumed: false }
    }

    /// Drives the guest; one that uses up its turn goes to the lane.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, lane: &Lane) -> Poll<T> {
        match self {
            Self::Here { guest, resumed: false } => match guest.as_mut().poll(cx) {
                Poll::Ready(end) => Poll::Ready(end),
                Poll::Pending => self.stopped(cx, lane),
            },
            Self::Here { guest, resumed: true } => match turn::resumed(|| guest.as_mut().poll(cx)) {
                Poll::Ready(end) => Poll::Ready(end),
                Poll::Pending => self.stopped(cx, lane),
            },
            Self::Away(away) => match std::task::ready!(away.poll(cx)) {
                Back::Ended(end) => Poll::Ready(end),
                Back::Waits(guest) => {
                    *self = Self::Here { guest, resumed: true };
                    self.poll(cx, lane)
                }
            },
        }
    }

    /// Decides about a guest that is not ready.
    #[cold]
    fn stopped(&mut self, cx: &Context<'_>, lane: &Lane) -> Poll<T> {
        if let Self::Here { guest, resumed } = self {
            *resumed = true;
            if turn::take_used_up() {
                // What takes the guest's place is never polled.
                let guest = std::mem::replace(guest, Box::pin(std::future::pending()));
                *self = Self::Away(lane.send(guest, cx.waker()));
            }
        }
        Poll::Pending
    }

    /// The same as a future, for whoever only waits for the end.
    pub(crate) fn on(self, lane: &Arc<Lane>) -> OnLane<T> {
        OnLane { guest: self, lane: Arc::clone(lane) }
    }
}

/// A driven guest that knows its lane.
pub(crate) struct OnLane<T> {
    guest: Driven<T>,
    lane: Arc<Lane>,
}

impl<T: Send + 'static> Future for OnLane<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { guest, lane } = &mut *self;
        guest.poll(cx, lane)
    }
}
