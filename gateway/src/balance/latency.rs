//! Smoothed latency of a host that believes bad news at once and good news slowly.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long an observation takes to fade to 1/e. Ten seconds, as in linkerd2-proxy (`EWMA_DECAY`) and Finagle (`PeakEwma`).
pub const DECAY: Duration = Duration::from_secs(10);

/// What a host without observations is taken for: 30 ms, as in linkerd2-proxy (`EWMA_DEFAULT_RTT`), so that a host that has
/// just joined is not flooded before its first answer.
pub const UNKNOWN: Duration = Duration::from_millis(30);

/// A moving average of latency with exponential decay over time, which a higher observation replaces (peak EWMA, from
/// Finagle's `PeakEwma` by Twitter, 2015).
///
/// Without observations it fades to nothing, so that a host that was slow once is tried again.
#[derive(Debug)]
pub struct PeakEwma {
    /// The average in seconds as `f32` in the high half, the time of the last observation in milliseconds, modulo 2^32, in the
    /// low one: both change at once without a lock.
    state: AtomicU64,
}

impl PeakEwma {
    /// An average that begins as [`UNKNOWN`]. Times count from any fixed point.
    pub fn new(now: Duration) -> Self {
        Self { state: AtomicU64::new(pack(UNKNOWN.as_secs_f32(), millis(now))) }
    }

    /// Takes in how long an answer took.
    pub fn observe(&self, latency: Duration, now: Duration) {
        let (observed, now) = (latency.as_secs_f32(), millis(now));
        let next = |state| {
            let (average, at) = unpack(state);
            if observed >= average {
                return pack(observed, now);
            }
            let kept = fade(now, at);
            pack(average * kept + observed * (1.0 - kept), now)
        };
        self.state.update(Relaxed, Relaxed, next);
    }

    /// The average at this time, in seconds.
    pub fn seconds(&self, now: Duration) -> f32 {
        let (average, at) = unpack(self.state.load(Relaxed));
        average * fade(millis(now), at)
    }
}

/// What is left of an observation, from 0 to 1.
fn fade(now: u32, at: u32) -> f32 {
    // Another thread may have been here with a later time: that is no age, not a very large one.
    let age = now.wrapping_sub(at).cast_signed().max(0);
    (-(age as f32) / DECAY.as_millis() as f32).exp()
}

fn millis(now: Duration) -> u32 {
    // Modulo 2^32 on purpose: only differences matter.
    now.as_millis() as u32
}

fn pack(average: f32, at: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(at)
}

fn unpack(state: u64) -> (f32, u32) {
    (f32::from_bits((state >> 32) as u32), state as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() < 0.001 * b.abs().max(0.001)
    }

    #[test]
    fn a_peak_counts_at_once_and_fades_with_time() {
        let ewma = PeakEwma::new(Duration::ZERO);
        ewma.observe(200 * MS, Duration::ZERO);
        assert!(close(ewma.seconds(Duration::ZERO), 0.2));
        assert!(close(ewma.seconds(DECAY), 0.2 / std::f32::consts::E));
        assert!(ewma.seconds(20 * DECAY) < 1e-8);
    }

    #[test]
    fn a_better_latency_is_believed_by_the_time_that_passed() {
        let ewma = PeakEwma::new(Duration::ZERO);
        ewma.observe(200 * MS, Duration::ZERO);
        ewma.observe(100 * MS, Duration::ZERO);
        assert!(close(ewma.seconds(Duration::ZERO), 0.2), "no time has passed");
        ewma.observe(100 * MS, DECAY);
        let kept = 1.0 / std::f32::consts::E;
        assert!(close(ewma.seconds(DECAY), 0.2 * kept + 0.1 * (1.0 - kept)));
    }

    #[test]
    fn a_time_that_is_behind_counts_as_no_time() {
        let ewma = PeakEwma::new(Duration::from_secs(5));
        ewma.observe(200 * MS, Duration::from_secs(5));
        assert!(close(ewma.seconds(Duration::from_secs(4)), 0.2));
    }
}
