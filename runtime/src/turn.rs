//! One poll of a guest on one thread, and how long it may take.
//!
//! ```text
//! Serving   where a connection is served: until the guest has been on the core for FIRST_SLICE
//! Resumed   the same after the guest has waited: epochs that passed meanwhile are not its own
//! Slow      on the slow lane: until it has been on the core for LANE_SLICE
//! ```
//! A guest that runs into its epoch deadline asks [`crossed`] what to do. Whoever polled it asks [`take_used_up`] afterwards
//! why it stopped. What is known in between is the thread's, so that a guest that ends in time costs nothing here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::engine::TICK;

/// How long a guest may hold a thread that serves connections, before it goes to the slow lane. It is noticed at the first
/// tick after, so that the longest hold is two ticks more.
pub(crate) const FIRST_SLICE: Duration = TICK;

/// How long a guest may hold a thread of the slow lane while others wait for one.
const LANE_SLICE: Duration = Duration::from_millis(10);

/// How many epochs have begun in this process.
static EPOCHS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Serving) };
    static USED_UP: Cell<bool> = const { Cell::new(false) };
}

/// How this thread came to poll the guest that it polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Serving,
    Resumed {
        /// The epoch in which it resumed.
        epoch: u64,
    },
    Slow {
        /// The thread's time on its core when the slice began.
        began: Duration,
        /// The same when the guest was charged last.
        charged: Duration,
    },
}

/// What becomes of a guest that has run into its epoch deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crossing {
    /// Time on a core that it has used since it was charged last.
    pub(crate) charge: Duration,
    /// Whether others go first now.
    pub(crate) used_up: bool,
}

/// What a guest's meter remembers of its turn where connections are served.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Slice {
    /// The thread's time on its core at the first crossing, and at the last.
    seen: Option<(Duration, Duration)>,
}

/// Says that an epoch begins.
pub(crate) fn begin_epoch() {
    EPOCHS.fetch_add(1, Ordering::Relaxed);
}

/// Decides for a guest that has run into its epoch deadline on this thread.
///
/// The first crossing is charged as a whole tick: that is right on average, and costs nothing while there is none. From then
/// on the thread's own clock counts, since a thread that the system has taken off its core has not used it.
pub(crate) fn crossed(slice: &mut Slice) -> Crossing {
    let now = thread_time();
    let crossing = match TURN.get() {
        Turn::Slow { began, charged } => {
            TURN.set(Turn::Slow { began, charged: now });
            Crossing { charge: now.saturating_sub(charged), used_up: now.saturating_sub(began) >= LANE_SLICE }
        }
        Turn::Resumed { epoch } => {
            TURN.set(Turn::Serving);
            slice.seen = Some((now, now));
            let meanwhile = epoch == EPOCHS.load(Ordering::Relaxed);
            Crossing { charge: if meanwhile { Duration::ZERO } else { TICK }, used_up: false }
        }
        Turn::Serving => match slice.seen {
            None => {
                slice.seen = Some((now, now));
                Crossing { charge: TICK, used_up: false }
            }
            Some((first, last)) => {
                slice.seen = Some((first, now));
                Crossing { charge: now.saturating_sub(last), used_up: now.saturating_sub(first) >= FIRST_SLICE / 2 }
            }
        },
    };
    if crossing.used_up {
        slice.seen = None;
        USED_UP.set(true);
    }
    crossing
}

/// Whether the guest that this thread polled last stopped because its turn was used up, and not because it waits.
pub(crate) fn take_used_up() -> bool {
    USED_UP.take()
}

/// The same, as long as nobody has taken it.
pub(crate) fn is_used_up() -> bool {
    USED_UP.get()
}

/// Polls a guest that has waited.
pub(crate) fn resumed<T>(poll: impl FnOnce() -> T) -> T {
    during(Turn::Resumed { epoch: EPOCHS.load(Ordering::Relaxed) }, poll)
}

/// Polls a guest on the slow lane.
pub(crate) fn slow<T>(poll: impl FnOnce() -> T) -> T {
    let now = thread_time();
    during(Turn::Slow { began: now, charged: now }, poll)
}

fn during<T>(turn: Turn, poll: impl FnOnce() -> T) -> T {
    /// Ends the turn even where the poll panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            TURN.set(Turn::Serving);
        }
    }
    TURN.set(turn);
    let _end = End;
    poll()
}

/// How long this thread has been on a core.
pub(crate) fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps this thread's core busy.
    fn spin(span: Duration) {
        let end = thread_time() + span;
        while thread_time() < end {}
    }

    #[test]
    fn a_short_guest_that_meets_a_tick_stays_where_it_is() {
        let mut slice = Slice::default();
        assert_eq!(crossed(&mut slice), Crossing { charge: TICK, used_up: false });
        assert!(!take_used_up());
    }

    #[test]
    fn a_guest_that_computes_on_is_charged_what_it_used_and_loses_its_turn() {
        let mut slice = Slice::default();
        crossed(&mut slice);
        spin(TICK);
        let second = crossed(&mut slice);
        assert!(second.used_up && second.charge >= TICK && second.charge < 2 * TICK, "{second:?}");
        assert!(take_used_up());
        assert!(!take_used_up(), "said once");
    }

    #[test]
    fn a_thread_that_the_system_took_off_its_core_has_not_used_its_turn() {
        let mut slice = Slice::default();
        crossed(&mut slice);
        std::thread::sleep(5 * TICK);
        let second = crossed(&mut slice);
        assert!(!second.used_up && second.charge < TICK / 2, "{second:?}");
    }

    #[test]
    fn epochs_that_passed_while_a_guest_waited_are_not_charged() {
        let mut slice = Slice::default();
        let stale = resumed(|| crossed(&mut slice));
        assert_eq!(stale, Crossing { charge: Duration::ZERO, used_up: false });
        let own = resumed(|| {
            begin_epoch();
            crossed(&mut slice)
        });
        assert_eq!(own, Crossing { charge: TICK, used_up: false });
    }

    #[test]
    fn the_slow_lane_gives_longer_turns_and_charges_all_of_them() {
        let mut slice = Slice::default();
        slow(|| {
            spin(TICK);
            let first = crossed(&mut slice);
            assert!(!first.used_up && first.charge >= TICK, "{first:?}");
            spin(LANE_SLICE);
            let last = crossed(&mut slice);
            assert!(last.used_up && last.charge >= LANE_SLICE && last.charge < LANE_SLICE + TICK, "{last:?}");
        });
        assert!(take_used_up());
    }
}
