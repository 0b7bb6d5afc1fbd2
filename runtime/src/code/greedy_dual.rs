//! Which of many things of different size and price to let go when there is no room for all: GreedyDual-Size with
//! frequency, as FaasCache uses it to keep functions warm (Fuerst and Sharma, ASPLOS 2021).
//!
//! Each entry has the priority `clock + uses * cost / size`, where the clock is that of its last use. The entry of the lowest
//! priority goes first, and the clock becomes its priority: what is not used any more is overtaken, however dear it was.
//!
//! Using an entry must cost next to nothing, so it only leaves a [`Mark`]. The order is put right when something is to go: the
//! stored priority of an entry is never above the true one, so that an entry that stands first with its true priority is first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The uses of one entry, counted where they happen.
#[derive(Debug)]
pub(super) struct Mark {
    uses: AtomicU64,
    /// The clock at the last use: an `f64`, by its bits.
    used_at: AtomicU64,
    clock: Arc<AtomicU64>,
}

impl Mark {
    fn restart(&self) {
        self.uses.store(1, Relaxed);
        self.used_at.store(self.clock.load(Relaxed), Relaxed);
    }

    /// Counts a use. Of uses at the very same moment one may be missed, which spares the core an atomic addition.
    pub(super) fn used(&self) {
        self.uses.store(self.uses.load(Relaxed) + 1, Relaxed);
        self.used_at.store(self.clock.load(Relaxed), Relaxed);
    }
}

/// The order in which entries go. Keys are numbers; of two entries of the same priority the lower goes first.
#[derive(Debug, Default)]
pub(super) struct GreedyDual {
    entries: HashMap<u64, Entry>,
    order: BTreeSet<(Priority, u64)>,
    clock: Arc<AtomicU64>,
    used_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    mark: Arc<Mark>,
    size_bytes: u64,
    /// What one use is worth: the cost of having the entry again, over its size.
    worth: f64,
    stored: Priority,
}

/// A priority: an `f64` that is never below zero and never NaN, whose bits therefore have the order of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Priority(u64);

impl Entry {
    fn priority(&self) -> Priority {
        let (clock, uses) = (f64::from_bits(self.mark.used_at.load(Relaxed)), self.mark.uses.load(Relaxed));
        Priority((clock + as_f64(uses) * self.worth).to_bits())
    }
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "past 2^53 the last bit does not matter")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

impl GreedyDual {
    /// Where the uses of one entry are counted, from the moment it is inserted.
    pub(super) fn mark(&self) -> Arc<Mark> {
        Arc::new(Mark { uses: AtomicU64::new(0), used_at: AtomicU64::new(0), clock: Arc::clone(&self.clock) })
    }

    /// Adds an entry, which is its first use. `cost` in any unit that all entries share.
    pub(super) fn insert(&mut self, key: u64, mark: &Arc<Mark>, size_bytes: u64, cost: u64) {
        mark.restart();
        let worth = as_f64(cost.max(1)) / as_f64(size_bytes.max(1));
        let mut entry = Entry { mark: Arc::clone(mark), size_bytes, worth, stored: Priority(0) };
        entry.stored = entry.priority();
        self.remove(key);
        self.order.insert((entry.stored, key));
        self.used_bytes += size_bytes;
        self.entries.insert(key, entry);
    }

    /// Takes an entry out that has gone by itself.
    pub(super) fn remove(&mut self, key: u64) {
        if let Some(entry) = self.entries.remove(&key) {
            self.order.remove(&(entry.stored, key));
            self.used_bytes -= entry.size_bytes;
        }
    }

    /// The first entry to go of those that may, moves the clock and takes the entry out. Entries that may not go keep their
    /// places.
    pub(super) fn evict(&mut self, mut may_go: impl FnMut(u64) -> bool) -> Option<u64> {
        let mut after = None;
        loop {
            let next = match after {
                None => self.order.first(),
                Some(last) => self.order.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).next(),
            };
            let (stored, key) = *next?;
            let entry = self.entries.get_mut(&key)?;
            let priority = entry.priority();
            if priority > stored {
                // Used since it was put here: its place is further back, where this search may come to it.
                entry.stored = priority;
                self.order.remove(&(stored, key));
                self.order.insert((priority, key));
            } else if may_go(key) {
                self.clock.store(stored.0.max(self.clock.load(Relaxed)), Relaxed);
                self.remove(key);
                return Some(key);
            } else {
                after = Some((stored, key));
            }
        }
    }

    /// The sizes of all entries together.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn insert(cache: &mut GreedyDual, key: u64, size_bytes: u64, cost: u64) -> Arc<Mark> {
        let mark = cache.mark();
        cache.insert(key, &mark, size_bytes, cost);
        mark
    }

    fn evict(cache: &mut GreedyDual) -> Option<u64> {
        cache.evict(|_| true)
    }

    #[test]
    fn of_equal_uses_the_one_that_is_cheapest_for_its_size_goes_first() {
        let mut cache = GreedyDual::default();
        for (key, size_bytes, cost) in [(1, 100, 300), (2, 100, 100), (3, 1_000, 2_000)] {
            insert(&mut cache, key, size_bytes, cost);
        }
        assert_eq!(cache.used_bytes(), 1_200);
        assert_eq!([evict(&mut cache), evict(&mut cache), evict(&mut cache)], [Some(2), Some(3), Some(1)]);
        assert_eq!((cache.used_bytes(), cache.len(), evict(&mut cache)), (0, 0, None));
    }

    #[test]
    fn uses_keep_an_entry_and_time_takes_it() {
        let mut cache = GreedyDual::default();
        let mark = insert(&mut cache, 1, 1, 1);
        for _ in 0..9 {
            mark.used();
        }
        // Its ten uses outlast those that are used once, until the clock has caught up.
        let mut others = 0;
        loop {
            insert(&mut cache, 2 + others, 1, 1);
            if evict(&mut cache) == Some(1) {
                break;
            }
            others += 1;
        }
        assert_eq!(others, 9);
    }

    #[test]
    fn what_may_not_go_is_passed_over_and_keeps_its_place() {
        let mut cache = GreedyDual::default();
        for key in 1..=3 {
            insert(&mut cache, key, 1, key);
        }
        assert_eq!(cache.evict(|key| key != 1), Some(2));
        assert_eq!(cache.evict(|_| false), None);
        assert_eq!(evict(&mut cache), Some(1));
    }

    /// The definition, word for word: every use sets the priority, and the lowest goes.
    #[derive(Default)]
    struct Plain {
        clock: f64,
        entries: BTreeMap<u64, (u64, f64, f64)>,
    }

    impl Plain {
        fn used(&mut self, key: u64) {
            let clock = self.clock;
            if let Some((uses, worth, priority)) = self.entries.get_mut(&key) {
                *uses += 1;
                *priority = clock + as_f64(*uses) * *worth;
            }
        }

        fn evict(&mut self, pinned: u64) -> Option<u64> {
            let free = self.entries.iter().filter(|(key, _)| **key != pinned);
            let first = free.min_by(|(_, a), (_, b)| a.2.total_cmp(&b.2))?;
            let (key, priority) = (*first.0, first.1.2);
            self.clock = self.clock.max(priority);
            self.entries.remove(&key);
            Some(key)
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert { key: u64, size_bytes: u64, cost: u64 },
        Use(u64),
        Remove(u64),
        Evict { pinned: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..12_u64;
        prop_oneof![
            (key.clone(), 1..50_u64, 1..50_u64).prop_map(|(key, size_bytes, cost)| Step::Insert {
                key,
                size_bytes,
                cost
            }),
            key.clone().prop_map(Step::Use),
            key.clone().prop_map(Step::Use),
            key.clone().prop_map(Step::Remove),
            key.prop_map(|pinned| Step::Evict { pinned }),
        ]
    }

    proptest! {
        #[test]
        fn marks_put_right_late_give_the_same_order_as_the_definition(steps in prop::collection::vec(step(), 0..200)) {
            let (mut cache, mut plain) = (GreedyDual::default(), Plain::default());
            let mut marks = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert { key, size_bytes, cost } => {
                        marks.insert(key, insert(&mut cache, key, size_bytes, cost));
                        let worth = as_f64(cost) / as_f64(size_bytes);
                        plain.entries.insert(key, (1, worth, plain.clock + worth));
                    }
                    Step::Use(key) => {
                        if let Some(mark) = marks.get(&key) {
                            mark.used();
                        }
                        plain.used(key);
                    }
                    Step::Remove(key) => {
                        cache.remove(key);
                        plain.entries.remove(&key);
                    }
                    Step::Evict { pinned } => {
                        prop_assert_eq!(cache.evict(|key| key != pinned), plain.evict(pinned));
                        prop_assert_eq!(f64::from_bits(cache.clock.load(Relaxed)), plain.clock);
                    }
                }
                prop_assert_eq!(cache.len(), plain.entries.len());
            }
        }
    }
}
