//! A guest that is driven: where its connection is served, and on the slow lane while it computes for longer than its turn.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::habit::Habit;
use crate::lane::{Away, Back, Lane, Running};
use crate::turn::{self, FIRST_SLICE};

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

    /// Drives the guest; one that uses up its turn, or is known to do so, goes to the lane.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, lane: &Lane, habit: &Habit) -> Poll<T> {
        match self {
            Self::Here { .. } if habit.is_long() => {
                self.leave(cx, lane);
                Poll::Pending
            }
            Self::Here { .. } => {
                let polled = self.poll_here(cx);
                let used_up = polled.is_pending() && turn::take_used_up();
                habit.learn(used_up);
                if used_up {
                    self.leave(cx, lane);
                }
                polled
            }
            Self::Away(away) => {
                let back = std::task::ready!(away.poll(cx));
                habit.learn(away.used() >= FIRST_SLICE);
                match back {
                    Back::Ended(end) => Poll::Ready(end),
                    Back::Waits(guest) => {
                        // The lane has no wakers: it is asked once more what it waits for.
                        *self = Self::Here { guest, resumed: true };
                        let polled = self.poll_here(cx);
                        if polled.is_pending() && turn::take_used_up() {
                            self.leave(cx, lane);
                        }
                        polled
                    }
                }
            }
        }
    }

    fn poll_here(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Self::Here { guest, resumed } = self else { return Poll::Pending };
        if std::mem::replace(resumed, true) {
            turn::resumed(|| guest.as_mut().poll(cx))
        } else {
            guest.as_mut().poll(cx)
        }
    }

    /// Sends the guest to the lane.
    #[cold]
    fn leave(&mut self, cx: &Context<'_>, lane: &Lane) {
        if let Self::Here { guest, .. } = self {
            // What takes the guest's place is never polled.
            let guest = std::mem::replace(guest, Box::pin(std::future::pending()));
            *self = Self::Away(lane.send(guest, cx.waker()));
        }
    }

    /// The same as a future, for whoever only waits for the end.
    pub(crate) fn on(self, lane: &Arc<Lane>) -> OnLane<T> {
        OnLane { guest: self, lane: Arc::clone(lane), habit: Habit::default() }
    }
}

/// A driven guest that knows its lane.
pub(crate) struct OnLane<T> {
    guest: Driven<T>,
    lane: Arc<Lane>,
    /// Its own: it lives long, or is the only one.
    habit: Habit,
}

impl<T: Send + 'static> Future for OnLane<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { guest, lane, habit } = &mut *self;
        guest.poll(cx, lane, habit)
    }
}
