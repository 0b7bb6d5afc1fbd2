//! The room that a host has for instances, and whose turn it is when there is none left.
//!
//! Every living instance has a [`Seat`]. Where all are taken and none belongs to an idle instance, invocations wait in their
//! function's queue, and their pool stands in line here. A seat that is given back goes to the pool in line that holds the
//! fewest, and among equals to the one that has stood there longest; it then stands at the end again if more of its
//! invocations wait. A pool that holds at least two seats more than one in line does not use an instance again but gives its
//! seat away ([`Share::owes`]). Together that makes the shares of those who want more equal (max-min fairness), and what one
//! function does not want, others have.
//!
//! Locks are taken in the order pool, room; so a seat is only dropped, and a pool only offered one, without a lock held.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// How long a search for idle instances that found none holds good. While pools stand in line nothing becomes idle, so that
/// searching again is for the rare one that became idle at the same moment.
const SEARCH_AGAIN: Duration = Duration::from_millis(10);

/// The room for instances on a host, whichever engine they run in.
pub(crate) struct Room {
    seats: usize,
    /// How many pools stand in line. Read with each instance that is given back, and hardly ever written.
    in_line: AtomicUsize,
    /// Whether an instance was given back, and kept, since somebody last stood in line. Read and written like that.
    may_have_idle: AtomicBool,
    state: Mutex<State>,
}

struct State {
    taken: usize,
    line: VecDeque<Standing>,
    /// When a search for an idle instance last found none.
    searched: Option<Instant>,
}

/// A pool that stands in line.
struct Standing {
    share: Arc<Share>,
    member: Arc<dyn Member>,
}

/// Whoever can use a seat: a pool.
pub(crate) trait Member: Send + Sync {
    /// Takes a seat that became free, having stood in line, and no longer does. Gives it back where nobody waits for it.
    fn offer(self: Arc<Self>, seat: Seat) -> Result<(), Seat>;
}

/// One pool's part of the room.
pub(crate) struct Share {
    room: Arc<Room>,
    held: AtomicUsize,
}

/// The right to have one instance alive. Dropped, it goes to whoever stands in line.
pub(crate) struct Seat(Option<Arc<Share>>);

impl Room {
    /// Room for this many instances.
    pub(crate) fn new(seats: usize) -> Arc<Self> {
        let state = State { taken: 0, line: VecDeque::new(), searched: None };
        Arc::new(Self {
            seats,
            in_line: AtomicUsize::new(0),
            may_have_idle: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// How many instances there is room for.
    pub(crate) fn seats(&self) -> usize {
        self.seats
    }

    /// The part of one more pool, which holds nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { room: Arc::clone(self), held: AtomicUsize::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to look for an idle instance to drop: not when nobody stands in line, or a search has just failed.
    pub(crate) fn wants_search(&self) -> bool {
        let recently = |at: Instant| at.elapsed() < SEARCH_AGAIN;
        self.in_line.load(Ordering::Relaxed) > 0 && !self.lock().searched.is_some_and(recently)
    }

    /// Says that an instance was given back and kept: whoever stands in line next is to look for it, however short ago somebody
    /// else has.
    pub(crate) fn kept(&self) {
        if !self.may_have_idle.load(Ordering::Relaxed) {
            self.may_have_idle.store(true, Ordering::Relaxed);
        }
    }

    /// Says that a search found no idle instance.
    pub(crate) fn searched_in_vain(&self) {
        self.lock().searched = Some(Instant::now());
    }
}

impl State {
    /// Takes the next in line out of it.
    fn next(&mut self) -> Option<Standing> {
        let held = |standing: &Standing| standing.share.held.load(Ordering::Relaxed);
        let (index, _) = self.line.iter().enumerate().min_by_key(|(index, standing)| (held(standing), *index))?;
        self.line.remove(index)
    }
}

impl Share {
    /// Takes a seat if one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        self.take_from(&mut self.room.lock())
    }

    /// Takes a seat if one is free, or else stands in line, once, until one is offered.
    pub(crate) fn take_or_stand(self: &Arc<Self>, member: impl FnOnce() -> Arc<dyn Member>) -> Option<Seat> {
        let mut state = self.room.lock();
        let seat = self.take_from(&mut state);
        if seat.is_none() {
            if self.room.may_have_idle.swap(false, Ordering::Relaxed) {
                state.searched = None;
            }
            state.line.push_back(Standing { share: Arc::clone(self), member: member() });
            self.room.in_line.store(state.line.len(), Ordering::Relaxed);
        }
        seat
    }

    fn take_from(self: &Arc<Self>, state: &mut State) -> Option<Seat> {
        (state.taken < self.room.seats).then(|| {
            state.taken += 1;
            self.held.fetch_add(1, Ordering::Relaxed);
            Seat(Some(Arc::clone(self)))
        })
    }

    /// The room that this is a part of.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Whether any pool stands in line for a seat.
    pub(crate) fn is_contended(&self) -> bool {
        self.room.in_line.load(Ordering::Relaxed) > 0
    }

    /// Whether another pool in line would still hold less than this one, were it given one of its seats.
    pub(crate) fn owes(&self) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        // Nobody can be behind one that holds a single seat by two.
        self.is_contended()
            && held > 1
            && self.room.lock().line.iter().any(|other| other.share.held.load(Ordering::Relaxed) + 1 < held)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut leaving = self.0.take();
        // A pool in line whose callers have gone does not want the seat: the next may.
        while let Some(share) = leaving {
            leaving =
                share.leave().and_then(|(standing, seat)| standing.member.offer(seat).err()).and_then(Self::reclaim);
        }
    }
}

impl Seat {
    /// Undoes the seat without giving it on.
    fn reclaim(mut self) -> Option<Arc<Share>> {
        self.0.take()
    }
}

impl Share {
    /// Gives a seat up. Answers who gets it, where somebody stands in line.
    fn leave(&self) -> Option<(Standing, Seat)> {
        let mut state = self.room.lock();
        self.held.fetch_sub(1, Ordering::Relaxed);
        let Some(next) = state.next() else {
            state.taken -= 1;
            return None;
        };
        self.room.in_line.store(state.line.len(), Ordering::Relaxed);
        next.share.held.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Some(Arc::clone(&next.share)));
        Some((next, seat))
    }
}
