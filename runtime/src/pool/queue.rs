//! The queue of one pool: bounded in number, and in the time that whoever joins would wait.
//!
//! First come, first served. Turning away at the door costs the least: whoever is let in is served in time, and whoever is
//! not hears so at once, not when the deadline has passed. The queue is as long as can be served in three quarters of the
//! time that may be waited, by the pace of the last grants; the last quarter is for when that was too hopeful.

use std::collections::VecDeque;
use std::time::Duration;

use samovar_model::Fault;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Over how many grants the time between two is averaged.
const PACE_GRANTS: u32 = 32;

/// Those who wait, each for a `T`.
pub(super) struct Queue<T> {
    waiters: VecDeque<Waiter<T>>,
    next_waiter: u64,
    limit: usize,
    timeout: Duration,
    pace: Pace,
}

struct Waiter<T> {
    id: u64,
    sender: oneshot::Sender<T>,
}

/// A place in the queue, as whoever holds it sees it.
pub(super) struct Ticket<T> {
    pub(super) id: u64,
    pub(super) granted: oneshot::Receiver<T>,
}

impl<T> Queue<T> {
    pub(super) fn new(limit: usize, timeout: Duration) -> Self {
        Self { waiters: VecDeque::new(), next_waiter: 0, limit, timeout, pace: Pace::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Lets one more in.
    ///
    /// # Errors
    /// [`Fault::QueueFull`] when too many wait, or so many that its deadline would pass before its turn.
    pub(super) fn join(&mut self) -> Result<Ticket<T>, Fault> {
        let now = Instant::now();
        if self.waiters.is_empty() {
            self.pace.rest(now);
        }
        let ahead = self.waiters.len();
        if ahead >= self.limit || (ahead > 0 && self.pace.wait(ahead + 1, now) > self.timeout / 4 * 3) {
            return Err(Fault::QueueFull(ahead));
        }
        let (sender, granted) = oneshot::channel();
        let id = self.next_waiter;
        self.next_waiter += 1;
        self.waiters.push_back(Waiter { id, sender });
        Ok(Ticket { id, granted })
    }

    /// Grants to the first. Answers what was granted where it is gone or nobody waits.
    pub(super) fn grant(&mut self, granted: T) -> Result<(), T> {
        let Some(waiter) = self.waiters.pop_front() else { return Err(granted) };
        waiter.sender.send(granted)?;
        self.pace.granted(Instant::now());
        Ok(())
    }

    /// Takes out the one with this ticket, if it still waits.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let index = self.waiters.iter().position(|waiter| waiter.id == id);
        index.is_some_and(|index| self.waiters.remove(index).is_some())
    }
}

/// How fast the queue moves while somebody waits.
#[derive(Debug, Default)]
struct Pace {
    /// The mean time between two grants.
    interval: Duration,
    /// Grants that it was averaged over, as far as that still matters.
    grants: u32,
    /// The last grant, or when the queue began to fill.
    since: Option<Instant>,
}

impl Pace {
    /// The queue was empty until now, which says nothing about how fast it moves.
    fn rest(&mut self, now: Instant) {
        self.since = Some(now);
    }

    fn granted(&mut self, now: Instant) {
        let Some(since) = self.since.replace(now) else { return };
        self.grants = (self.grants + 1).min(PACE_GRANTS);
        let mean = self.interval.as_nanos() as i128;
        let step = (now.saturating_duration_since(since).as_nanos() as i128 - mean) / i128::from(self.grants);
        self.interval = Duration::from_nanos(u64::try_from(mean + step).unwrap_or(0));
    }

    /// How long whoever is at this place in the queue waits. Nothing, as long as nothing is known.
    fn wait(&self, place: usize, now: Instant) -> Duration {
        if self.grants == 0 {
            return Duration::ZERO;
        }
        let moving = self.interval.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
        // A queue that has stood still for long may do so for as long again.
        let standing = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        moving.max(standing)
    }
}
