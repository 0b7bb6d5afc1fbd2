//! Retries are a share of requests, so that a cluster in trouble is not given more work than it had.
//!
//! From Finagle's `RetryBudget` (20 % of requests, at least 10 a second, over 10 seconds), as linkerd and tower have it, too.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Retries for each request.
pub const SHARE: f64 = 0.2;
/// Retries that are there every second whatever the traffic, so that a quiet gateway can retry at all.
pub const MIN_PER_SECOND: u64 = 10;
/// How many seconds a request counts for.
pub const WINDOW_SECONDS: u64 = 10;

/// How many retries there may be. Without locks: of retries at the very same moment one too many may pass.
#[derive(Debug)]
pub struct RetryBudget {
    requests: Window,
    retries: Window,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryBudget {
    /// A budget that has seen nothing yet.
    pub fn new() -> Self {
        Self { requests: Window::default(), retries: Window::default() }
    }

    /// Counts a request, not a retry.
    pub fn request(&self, now: Duration) {
        self.requests.add(now);
    }

    /// Whether there may be a retry now; if so, it is counted.
    pub fn retry(&self, now: Duration) -> bool {
        let allowed = (self.requests.sum(now) as f64 * SHARE) as u64 + MIN_PER_SECOND * WINDOW_SECONDS;
        let allow = self.retries.sum(now) < allowed;
        if allow {
            self.retries.add(now);
        }
        allow
    }
}

/// Counts of the last [`WINDOW_SECONDS`] seconds, this one included: in each slot the count in the low half and the second
/// that it is of, modulo 2^32, in the high one.
#[derive(Debug, Default)]
struct Window([AtomicU64; WINDOW_SECONDS as usize]);

impl Window {
    fn add(&self, now: Duration) {
        let second = now.as_secs() & 0xffff_ffff;
        let slot = &self.0[(now.as_secs() % WINDOW_SECONDS) as usize];
        slot.update(Relaxed, Relaxed, |packed| if packed >> 32 == second { packed + 1 } else { second << 32 | 1 });
    }

    fn sum(&self, now: Duration) -> u64 {
        let count = |slot: &AtomicU64| {
            let packed = slot.load(Relaxed);
            let age = (now.as_secs() & 0xffff_ffff).saturating_sub(packed >> 32);
            if age < WINDOW_SECONDS { packed & 0xffff_ffff } else { 0 }
        };
        self.0.iter().map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries_at(budget: &RetryBudget, now: Duration) -> usize {
        (0..1_000_000).take_while(|_| budget.retry(now)).count()
    }

    #[test]
    fn a_quiet_gateway_has_the_minimum() {
        let budget = RetryBudget::new();
        assert_eq!(retries_at(&budget, Duration::ZERO), 100);
        assert_eq!(retries_at(&budget, Duration::from_secs(9)), 0, "spent for these ten seconds");
        assert_eq!(retries_at(&budget, Duration::from_secs(10)), 100);
    }

    #[test]
    fn a_busy_one_has_a_fifth_of_its_requests_more() {
        let budget = RetryBudget::new();
        for second in 0..20 {
            for _ in 0..1000 {
                budget.request(Duration::from_secs(second));
            }
        }
        assert_eq!(retries_at(&budget, Duration::from_secs(19)), 2000 + 100);
    }

    #[test]
    fn requests_of_long_ago_count_no_more() {
        let budget = RetryBudget::new();
        for _ in 0..1000 {
            budget.request(Duration::ZERO);
        }
        assert_eq!(retries_at(&budget, Duration::from_secs(10)), 100);
    }
}
