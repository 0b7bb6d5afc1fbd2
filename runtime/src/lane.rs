//! The slow lane: threads of lowered priority that run guests which have used up their first turn, or are known to do so
//! (`habit.rs`), so that one that computes for long never keeps a connection from being served.
//!
//! ```text
//! Queued   it waits for a thread of the lane
//! Running  a thread of the lane polls it, for one slice, and puts it back at the queue's end
//! Done     it ended, or it waits for something: whoever sent it has it back
//! Left     whoever sent it is gone, and the guest with it
//! ```
//! Only computing happens here. A guest that waits goes back to where it came from, which is where wakers, timers and sockets
//! belong; so the lane needs no waker of its own, and what is in its queue can always run.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::turn;

/// What the lane's threads add to their nice value. A thread at 10 gets about a tenth of what an ordinary one gets on a core
/// that both want (`sched_prio_to_weight` in the kernel: 110 beside 1024), and all of a core that nobody else wants.
const NICE: i32 = 10;

/// A guest that runs.
pub(crate) type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The slow lane of one host. Its threads end when it is dropped.
pub(crate) struct Lane(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    guests: VecDeque<Arc<dyn Slow>>,
    closed: bool,
}

/// A guest on the lane, whatever it ends with.
trait Slow: Send + Sync {
    /// Runs it for one slice. True when it has more to compute.
    fn run(&self) -> bool;
}

impl Lane {
    /// A lane with this many threads, whose guests find the runtime that this is called in.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new() });
        let lane = Self(Arc::clone(&shared));
        for _ in 0..threads {
            let (shared, runtime) = (Arc::clone(&shared), Handle::current());
            std::thread::Builder::new().name("samovar-lane".into()).spawn(move || {
                lower_priority();
                let _entered = runtime.enter();
                shared.serve();
            })?;
        }
        Ok(lane)
    }

    /// Takes a guest that has used up its turn.
    pub(crate) fn send<T: Send + 'static>(&self, guest: Running<T>, owner: &Waker) -> Away<T> {
        let place = Arc::new(Place(Mutex::new(Guest {
            phase: Phase::Queued(guest),
            owner: owner.clone(),
            used: Duration::ZERO,
        })));
        self.0.push(Arc::clone(&place) as Arc<dyn Slow>);
        Away(place)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        let guests = std::mem::take(&mut queue.guests);
        drop(queue);
        drop(guests);
        self.0.filled.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, guest: Arc<dyn Slow>) {
        self.lock().guests.push_back(guest);
        self.filled.notify_one();
    }

    /// Runs guests, each for a slice at a time, until the lane is closed.
    fn serve(&self) {
        loop {
            let waited = self.filled.wait_while(self.lock(), |queue| queue.guests.is_empty() && !queue.closed);
            let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.closed {
                return;
            }
            let guest = queue.guests.pop_front();
            drop(queue);
            if let Some(guest) = guest
                && guest.run()
            {
                self.push(guest);
            }
        }
    }
}

/// A guest's place on the lane, shared by the lane and whoever sent it.
struct Place<T>(Mutex<Guest<T>>);

struct Guest<T> {
    phase: Phase<T>,
    /// Woken after each slice: a guest may have answered and go on computing.
    owner: Waker,
    /// How long it has been on a core.
    used: Duration,
}

enum Phase<T> {
    Queued(Running<T>),
    Running,
    Done(Outcome<T>),
    Left,
}

enum Outcome<T> {
    Ended(T),
    Waits(Running<T>),
    Panicked(Box<dyn Any + Send>),
}

impl<T> Place<T> {
    fn lock(&self) -> MutexGuard<'_, Guest<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> Slow for Place<T> {
    fn run(&self) -> bool {
        let mut guest = {
            let mut place = self.lock();
            match std::mem::replace(&mut place.phase, Phase::Running) {
                Phase::Queued(guest) => guest,
                other => {
                    place.phase = other;
                    return false;
                }
            }
        };
        let mut context = Context::from_waker(Waker::noop());
        let began = turn::thread_time();
        let polled = catch_unwind(AssertUnwindSafe(|| turn::slow(|| guest.as_mut().poll(&mut context))));
        let used = turn::thread_time().saturating_sub(began);
        let used_up = turn::take_used_up();
        let next = match polled {
            Ok(Poll::Ready(end)) => Phase::Done(Outcome::Ended(end)),
            Ok(Poll::Pending) if used_up => Phase::Queued(guest),
            Ok(Poll::Pending) => Phase::Done(Outcome::Waits(guest)),
            Err(panic) => Phase::Done(Outcome::Panicked(panic)),
        };
        let mut place = self.lock();
        if matches!(place.phase, Phase::Left) {
            drop(place);
            // The guest goes here, not under the lock.
            drop(next);
            return false;
        }
        let again = matches!(next, Phase::Queued(_));
        place.phase = next;
        place.used += used;
        let owner = place.owner.clone();
        drop(place);
        owner.wake();
        again
    }
}

/// A guest that is on the slow lane. Dropping it stops the guest: at once, or when the slice ends that it is in.
pub(crate) struct Away<T>(Arc<Place<T>>);

/// What came of a guest on the slow lane.
pub(crate) enum Back<T> {
    /// It has ended.
    Ended(T),
    /// It waits for something, and is to be polled again.
    Waits(Running<T>),
}

impl<T> Away<T> {
    /// How long it has been on a core there.
    pub(crate) fn used(&self) -> Duration {
        self.0.lock().used
    }

    /// Ready when the guest is back. It panics where the guest's poll did.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Back<T>> {
        let mut place = self.0.lock();
        match std::mem::replace(&mut place.phase, Phase::Left) {
            Phase::Done(outcome) => {
                drop(place);
                match outcome {
                    Outcome::Ended(end) => Poll::Ready(Back::Ended(end)),
                    Outcome::Waits(guest) => Poll::Ready(Back::Waits(guest)),
                    Outcome::Panicked(panic) => resume_unwind(panic),
                }
            }
            other => {
                place.phase = other;
                place.owner.clone_from(cx.waker());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Away<T> {
    fn drop(&mut self) {
        let phase = std::mem::replace(&mut self.0.lock().phase, Phase::Left);
        drop(phase);
    }
}

fn lower_priority() {
    // Linux: of this thread alone.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "guests that compute for long run at ordinary priority");
    }
}

#[cfg(test)]
mod tests;
