//! How many hosts a function needs, from its requests in flight.
//!
//! The sizing rule of Knative's pod autoscaler (knative.dev/docs/serving/autoscaling/kpa-specific and
//! `pkg/autoscaler/scaling/autoscaler.go`): the mean of requests in flight over a stable window of 60 s, over a target for each
//! host; where the panic window of 6 s wants at least twice what there is, that counts at once, and nothing shrinks until it
//! has been quiet for a stable window.
//!
//! ```text
//! ## Stable => (Stable | Panic)
//! the stable window grows the set at once, and shrinks it to the most that was wanted within SHRINK_DELAY
//! ## Panic => (Panic | Stable)
//! either window grows the set, nothing shrinks it; ends STABLE after the last reason for it
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Seconds of the stable window (Knative's `stable-window`).
pub const STABLE_SECONDS: usize = 60;
/// Seconds of the panic window (Knative's `panic-window-percentage`, 10 % of the stable one).
pub const PANIC_SECONDS: usize = 6;
/// Panic from here on: the panic window's wish over what there is (Knative's `panic-threshold-percentage`, 200 %).
pub const PANIC_THRESHOLD: u32 = 2;
/// The part of a host's slots that one is sized for (Knative's `container-concurrency-target-percentage`, 70 %).
pub const TARGET: f64 = 0.7;
/// How long fewer hosts must have been enough before the set shrinks (Knative has `scale-down-delay`, 0 s by default: there
/// a smaller set saves containers, here it costs nothing to keep a host in it whose instances go idle by themselves).
pub const SHRINK_DELAY_SECONDS: u64 = 30;

/// A function's requests in flight over the last minute, and the number of hosts that follows. Counting is without locks; once
/// a second one request, whichever is first, moves the windows on.
#[derive(Debug)]
pub struct Demand {
    area: Area,
    /// The second, from the caller's fixed point, up to which the windows have been moved.
    second: AtomicU64,
    hosts: AtomicU32,
    windows: Mutex<Windows>,
}

impl Default for Demand {
    fn default() -> Self {
        Self::new()
    }
}

impl Demand {
    /// No requests, one host.
    pub fn new() -> Self {
        Self {
            area: Area::default(),
            second: AtomicU64::new(0),
            hosts: AtomicU32::new(1),
            windows: Mutex::new(Windows::default()),
        }
    }

    /// Counts a request in.
    pub fn begin(&self, now: Duration) {
        self.area.begin(now);
    }

    /// Counts a request out.
    pub fn end(&self, now: Duration) {
        self.area.end(now);
    }

    /// Counts a request out at a time that nobody knows, which is not before `earliest`. It is taken to have ended then, or when
    /// this was last asked about its size.
    pub fn end_unknown(&self, earliest: Duration) {
        self.area.end(earliest.max(Duration::from_secs(self.second.load(Relaxed))));
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.area.count()
    }

    /// How many hosts the function needs, at least one. `slots_per_host` are those that are this gateway's to fill; they are
    /// asked for once a second.
    pub fn hosts(&self, now: Duration, slots_per_host: impl FnOnce() -> f64) -> u32 {
        if self.second.load(Relaxed) < now.as_secs() {
            self.move_windows(now, slots_per_host);
        }
        self.hosts.load(Relaxed)
    }

    fn move_windows(&self, now: Duration, slots_per_host: impl FnOnce() -> f64) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if self.second.load(Relaxed) < now.as_secs() {
            windows.take(&self.area, now);
            let hosts = windows.size(self.hosts.load(Relaxed), slots_per_host(), now.as_secs());
            self.hosts.store(hosts, Relaxed);
            self.second.store(now.as_secs(), Relaxed);
        }
    }
}

/// The time integral of a count that goes up and down, in one word.
///
/// At time `t` the integral of `n` requests in flight is `n * t` less the times at which they began, plus what those that
/// ended took: their end less their beginning. So it is `n * t + s`, where each beginning takes its time off `s` and each end
/// adds its own. `s` is in the upper 44 bits, in units of 10 us modulo 2^44, `n` in the lower 20; both change at once.
#[derive(Debug, Default)]
struct Area(AtomicU64);

/// Units of [`Area`]'s time in a second.
const UNITS: f64 = 100_000.0;
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

impl Area {
    fn begin(&self, now: Duration) {
        self.0.fetch_add(1u64.wrapping_sub(units(now) << COUNT_BITS), Relaxed);
    }

    fn end(&self, now: Duration) {
        self.0.fetch_add((units(now) << COUNT_BITS).wrapping_sub(1), Relaxed);
    }

    fn count(&self) -> u32 {
        (self.0.load(Relaxed) & COUNT) as u32
    }

    /// The integral up to `now`, in units modulo 2^44.
    fn up_to(&self, now: Duration) -> u64 {
        let packed = self.0.load(Relaxed);
        (packed & COUNT).wrapping_mul(units(now)).wrapping_add(packed >> COUNT_BITS) & (u64::MAX >> COUNT_BITS)
    }
}

/// How much more than `before` a later integral is, both modulo 2^44.
fn difference(later: u64, before: u64) -> i64 {
    (later.wrapping_sub(before) << COUNT_BITS).cast_signed() >> COUNT_BITS
}

fn units(now: Duration) -> u64 {
    (now.as_micros() / 10) as u64
}

#[derive(Debug)]
struct Windows {
    /// Mean requests in flight in each of the last seconds; the second `s` is at `s % STABLE_SECONDS`.
    means: [f32; STABLE_SECONDS],
    /// Until when, and what the integral was then.
    moved: Option<(Duration, u64)>,
    /// How many of `means` were seen.
    seen: usize,
    panic_until_second: u64,
    /// Since when fewer hosts have been enough, and the most that were wanted since.
    fewer: Option<(u64, u32)>,
}

impl Default for Windows {
    fn default() -> Self {
        Self { means: [0.0; STABLE_SECONDS], moved: None, seen: 0, panic_until_second: 0, fewer: None }
    }
}

impl Windows {
    /// Takes in the seconds since the last time. Nothing was asked in them but at their ends, so that their mean is each one's.
    fn take(&mut self, area: &Area, now: Duration) {
        let integral = area.up_to(now);
        let (from, before) = self.moved.replace((now, integral)).unwrap_or((now, integral));
        let elapsed = now.saturating_sub(from).as_secs_f64();
        // Never less than nothing: requests of several threads may be counted a little out of their order in time.
        let grown = difference(integral, before).max(0) as f64;
        let mean = if elapsed > 0.0 { (grown / UNITS / elapsed) as f32 } else { 0.0 };
        let seconds = (now.as_secs() - from.as_secs()).min(STABLE_SECONDS as u64);
        for second in (now.as_secs() - seconds)..now.as_secs() {
            self.means[(second % STABLE_SECONDS as u64) as usize] = mean;
        }
        self.seen = (self.seen + seconds as usize).min(STABLE_SECONDS);
    }

    /// The mean of the last `seconds`, or of as many as there were.
    fn mean(&self, seconds: usize, now_second: u64) -> f64 {
        let seconds = seconds.min(self.seen) as u64;
        let of = |back: u64| f64::from(self.means[((now_second - back) % STABLE_SECONDS as u64) as usize]);
        let sum: f64 = (1..=seconds).map(of).sum();
        sum / seconds.max(1) as f64
    }

    /// The new size of a set that has `size` hosts now.
    fn size(&mut self, size: u32, slots_per_host: f64, now_second: u64) -> u32 {
        let target = (slots_per_host * TARGET).max(f64::MIN_POSITIVE);
        let wanted = |mean: f64| ((mean / target).ceil() as u32).max(1);
        let stable = wanted(self.mean(STABLE_SECONDS, now_second));
        let panic = wanted(self.mean(PANIC_SECONDS, now_second));
        if panic >= size.saturating_mul(PANIC_THRESHOLD) {
            self.panic_until_second = now_second + STABLE_SECONDS as u64;
        }
        let panicking = now_second < self.panic_until_second;
        let wanted = if panicking { stable.max(panic) } else { stable };
        if wanted >= size || panicking {
            self.fewer = None;
            return wanted.max(size);
        }
        let (since, most) = self.fewer.map_or((now_second, wanted), |(since, most)| (since, most.max(wanted)));
        self.fewer = Some((since, most));
        if now_second - since < SHRINK_DELAY_SECONDS {
            return size;
        }
        self.fewer = None;
        most
    }
}

#[cfg(test)]
mod tests;
