//! How much of a function's output is logged: a bucket that fills at a steady rate, and stays closed for a while once it is
//! empty.
//!
//! ```text
//! Open      what is written is taken out of the bucket
//!        -> Closed   it does not hold enough
//! Closed    everything is dropped
//!        -> Open     it holds a second's worth again
//! ```
//! Staying closed makes dropping cheap and the log readable: one gap with one notice, not a hole between any two lines.

use std::time::{Duration, Instant};

/// What may be written at once.
const BURST_BYTES: usize = 4 << 20;

/// What may be written for ever. A function's log keeps 8 MiB: at this rate the last 16 seconds of a flood.
const BYTES_PER_SECOND: usize = 512 << 10;

/// The bucket of one revision.
pub(super) struct Rate {
    left_bytes: usize,
    filled: Instant,
    is_open: bool,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { left_bytes: BURST_BYTES, filled: now, is_open: true }
    }

    /// Takes `bytes` out of the bucket if they may be written.
    pub(super) fn admits(&mut self, bytes: usize, now: Instant) -> bool {
        self.fill(now);
        if !self.is_open && self.left_bytes < BYTES_PER_SECOND {
            return false;
        }
        self.is_open = bytes <= self.left_bytes;
        if self.is_open {
            self.left_bytes -= bytes;
        }
        self.is_open
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).min(Duration::from_secs(3_600));
        let micros = usize::try_from(elapsed.as_micros()).unwrap_or(usize::MAX);
        let more = micros.saturating_mul(BYTES_PER_SECOND) / 1_000_000;
        if more > 0 {
            self.left_bytes = self.left_bytes.saturating_add(more).min(BURST_BYTES);
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_a_flood_is_not_taken_for_a_second() {
        let begun = Instant::now();
        let mut rate = Rate::new(begun);
        assert!(rate.admits(BURST_BYTES, begun));
        assert!(!rate.admits(1, begun));
        assert!(!rate.admits(1, begun + Duration::from_millis(900)), "closed until it holds a second's worth");
        assert!(rate.admits(1, begun + Duration::from_millis(1_001)));
        assert!(rate.admits(BYTES_PER_SECOND / 2, begun + Duration::from_millis(1_001)), "and open from then on");
    }

    #[test]
    fn over_a_minute_a_flood_gets_the_burst_and_the_rate_and_no_more() {
        let begun = Instant::now();
        let mut rate = Rate::new(begun);
        let taken = (0..60_000_u64).filter(|ms| rate.admits(4_096, begun + Duration::from_millis(*ms))).count() * 4_096;
        assert!(taken <= BURST_BYTES + 60 * BYTES_PER_SECOND, "{taken} bytes");
        assert!(taken >= 59 * BYTES_PER_SECOND, "{taken} bytes");
    }

    #[test]
    fn what_is_larger_than_the_bucket_is_refused_for_itself_alone() {
        let begun = Instant::now();
        let mut rate = Rate::new(begun);
        assert!(!rate.admits(BURST_BYTES + 1, begun));
        assert!(rate.admits(1, begun), "nothing was taken out for it");
    }
}
