//! Whether a function's guests are known to compute for long.
//!
//! Where they are, they begin on the slow lane: a first turn on a thread that serves connections would be used up as well, and
//! under load one guest after the other takes it, while nobody looks at what comes in.

use std::sync::atomic::{AtomicU8, Ordering};

/// From here on they are known to.
const KNOWN: u8 = 8;
/// How far it goes.
const MOST: u8 = 16;
/// What one that was short takes back: a function that computes for long now and then is none of these.
const SHORT: u8 = 4;

/// How the guests of one function have been lately.
#[derive(Debug, Default)]
pub(crate) struct Habit(AtomicU8);

impl Habit {
    /// Whether they compute for longer than a first turn, nearly all of them.
    pub(crate) fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= KNOWN
    }

    /// Learns how one more was. Where several do so at once, some may not count.
    pub(crate) fn learn(&self, is_long: bool) {
        let so_far = self.0.load(Ordering::Relaxed);
        let now = if is_long { (so_far + 1).min(MOST) } else { so_far.saturating_sub(SHORT) };
        // As a rule it is 0 and stays so: nothing is written to what all cores read.
        if now != so_far {
            self.0.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_several_long_ones_and_few_short_ones() {
        let habit = Habit::default();
        for _ in 0..7 {
            habit.learn(true);
            assert!(!habit.is_long());
        }
        habit.learn(true);
        assert!(habit.is_long());
        habit.learn(false);
        assert!(!habit.is_long());
        for _ in 0..100 {
            habit.learn(true);
        }
        for _ in 0..3 {
            assert!(habit.is_long());
            habit.learn(false);
        }
        assert!(!habit.is_long());
    }

    #[test]
    fn a_function_that_is_short_half_of_the_time_is_not_known_as_long() {
        let habit = Habit::default();
        for turn in 0..100 {
            habit.learn(turn % 2 == 0);
            assert!(!habit.is_long());
        }
    }
}
