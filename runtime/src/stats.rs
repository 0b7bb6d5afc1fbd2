//! A function's counters on this host: kept with atomics, read now and then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use samovar_hop::message::StatsPart;
use samovar_model::{Fault, FunctionStats};

/// Each power of two is divided into this many buckets: a percentile is off by an eighth at the most.
const STEPS: usize = 8;

/// Buckets for 1 µs to 2^27 µs (134 s); what is longer goes into the last one.
const BUCKETS: usize = 27 * STEPS;

/// A function's counters.
pub(crate) struct Counters {
    faults: [AtomicU64; Fault::LABELS.len()],
    /// By the status' first digit, from 1 to 5.
    responses: [AtomicU64; 5],
    durations: [AtomicU64; BUCKETS],
    total_micros: AtomicU64,
    cold_starts: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let zeros = || AtomicU64::new(0);
        Self {
            faults: std::array::from_fn(|_| zeros()),
            responses: std::array::from_fn(|_| zeros()),
            durations: std::array::from_fn(|_| zeros()),
            total_micros: zeros(),
            cold_starts: zeros(),
        }
    }

    pub(crate) fn cold_start(&self) {
        self.cold_starts.fetch_add(1, Relaxed);
    }

    pub(crate) fn response(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.responses[class].fetch_add(1, Relaxed);
    }

    pub(crate) fn fault(&self, fault: &Fault) {
        if let Some(index) = Fault::LABELS.iter().position(|label| *label == fault.label()) {
            self.faults[index].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn ended(&self, started: Instant) {
        let took = started.elapsed();
        self.durations[bucket(took)].fetch_add(1, Relaxed);
        self.total_micros.fetch_add(micros(took), Relaxed);
    }

    /// The counters as they stand, without what only the pool knows.
    pub(crate) fn part(&self) -> StatsPart {
        let named = |label: &str, count: &AtomicU64| {
            let count = count.load(Relaxed);
            (count > 0).then(|| (label.to_owned(), count))
        };
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let counts: Vec<u64> = self.durations.iter().map(|count| count.load(Relaxed)).collect();
        let stats = FunctionStats {
            faults: Fault::LABELS.iter().zip(&self.faults).filter_map(|(l, c)| named(l, c)).collect::<BTreeMap<_, _>>(),
            responses: classes.iter().zip(&self.responses).filter_map(|(l, c)| named(l, c)).collect(),
            total_micros: self.total_micros.load(Relaxed),
            cold_starts: self.cold_starts.load(Relaxed),
            ..FunctionStats::default()
        };
        StatsPart { stats: with_durations(stats, &counts), durations: counts }
    }
}

/// How a function has fared on several hosts together.
pub fn add_up(parts: impl IntoIterator<Item = StatsPart>) -> FunctionStats {
    let (mut sum, mut counts) = (FunctionStats::default(), Vec::new());
    for StatsPart { stats, durations } in parts {
        for (label, count) in stats.faults {
            *sum.faults.entry(label).or_default() += count;
        }
        for (class, count) in stats.responses {
            *sum.responses.entry(class).or_default() += count;
        }
        sum.total_micros += stats.total_micros;
        sum.cold_starts += stats.cold_starts;
        sum.busy += stats.busy;
        sum.idle += stats.idle;
        sum.queued += stats.queued;
        counts.resize(counts.len().max(durations.len()), 0);
        counts.iter_mut().zip(durations).for_each(|(count, more)| *count += more);
    }
    with_durations(sum, &counts)
}

/// What follows from how long invocations took.
fn with_durations(stats: FunctionStats, counts: &[u64]) -> FunctionStats {
    let invocations = counts.iter().sum();
    FunctionStats {
        invocations,
        p50_micros: percentile(counts, invocations, 50),
        p99_micros: percentile(counts, invocations, 99),
        histogram: cumulative(counts),
        ..stats
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The bucket of a duration: its power of two, then the next three bits.
fn bucket(duration: Duration) -> usize {
    let micros = micros(duration).max(1);
    let power = micros.ilog2() as usize;
    let step = match power {
        0..3 => (micros << (3 - power)) as usize % STEPS,
        _ => (micros >> (power - 3)) as usize % STEPS,
    };
    (power * STEPS + step).min(BUCKETS - 1)
}

/// The first duration, in microseconds, that is past a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let (power, step) = (bucket / STEPS, bucket % STEPS);
    ((STEPS + step + 1) as u64 * (1_u64 << power)).div_ceil(STEPS as u64)
}

fn percentile(counts: &[u64], total: u64, percent: u64) -> Option<u64> {
    let rank = (total * percent).div_ceil(100);
    let mut seen = 0;
    let index = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    })?;
    (total > 0).then(|| upper_bound(index))
}

/// Counts at or below each power of two.
fn cumulative(counts: &[u64]) -> Vec<(u64, u64)> {
    let mut sum = 0;
    let powers = counts.chunks(STEPS).enumerate().map(|(power, chunk)| {
        sum += chunk.iter().sum::<u64>();
        (1_u64 << (power + 1), sum)
    });
    powers.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_within_an_eighth() {
        let mut counts = vec![0; BUCKETS];
        for micros in 1..=1_000 {
            counts[bucket(Duration::from_micros(micros))] += 1;
        }
        let p50 = percentile(&counts, 1_000, 50).expect("not empty");
        let p99 = percentile(&counts, 1_000, 99).expect("not empty");
        assert!((500..=563).contains(&p50), "{p50}");
        assert!((990..=1_114).contains(&p99), "{p99}");
        assert_eq!(percentile(&[0; BUCKETS], 0, 50), None);
    }

    #[test]
    fn hosts_add_up_to_what_one_would_have_counted() {
        let (one, other, both) = (Counters::new(), Counters::new(), Counters::new());
        for micros in [3, 50, 700, 90_000] {
            for counters in [if micros < 100 { &one } else { &other }, &both] {
                counters.durations[bucket(Duration::from_micros(micros))].fetch_add(1, Relaxed);
                counters.fault(&Fault::Trap);
                counters.cold_start();
            }
        }
        assert_eq!(add_up([one.part(), other.part()]), both.part().stats);
    }

    proptest! {
        #[test]
        fn every_duration_is_below_its_buckets_bound_and_not_far(micros in 1_u64..100_000_000) {
            let index = bucket(Duration::from_micros(micros));
            prop_assert!(micros < upper_bound(index) || micros < 8);
            prop_assert!(upper_bound(index) <= micros + micros / 8 + 2);
        }
    }
}
