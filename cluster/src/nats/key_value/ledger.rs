//! A bucket's ledger: how much the bucket holds, and who wrote to it last.
//!
//! Every write of a bucket is one atomic batch that ends with the ledger, under the condition that the ledger is still the one
//! that the write was decided on. So writes of a bucket happen one after the other, whoever makes them; what was read since the
//! ledger is what it was when the write is stored; and the numbers are exact.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How many commits a ledger remembers: enough to look up one whose answer was lost after others followed.
const REMEMBERED: usize = 16;

/// What the message of a ledger holds, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The keys, those included that are past their time.
    pub(super) keys: u64,
    /// Keys and values together.
    pub(super) bytes: u64,
    /// Before this, no key is past its time; in milliseconds since 1970. Absent where none ever is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) earliest: Option<u64>,
    /// Since when the bucket is being cleared, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clearing: Option<u64>,
    /// The names of the last commits.
    #[serde(default)]
    pub(super) commits: VecDeque<String>,
}

/// A ledger as it was read or written.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) ledger: Ledger,
    /// Its place in the stream; 0 where there is none yet.
    pub(super) sequence: u64,
}

/// Whether a commit is among those that made a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    /// It is not, and never will be.
    Overtaken,
    /// The ledger does not reach back far enough.
    Forgotten,
}

impl Ledger {
    /// Enters a commit.
    pub(super) fn enter(&mut self, commit: &str) {
        while self.commits.len() >= REMEMBERED {
            self.commits.pop_front();
        }
        self.commits.push_back(commit.to_owned());
    }

    /// What became of a commit that was decided on `base`.
    pub(super) fn fate(&self, commit: &str, base: &Self) -> Fate {
        let has = |name: &str| self.commits.iter().any(|known| known == name);
        let reaches_back = match base.commits.back() {
            Some(before) => has(before),
            None => self.commits.len() < REMEMBERED,
        };
        match () {
            () if has(commit) => Fate::Stored,
            () if reaches_back => Fate::Overtaken,
            () => Fate::Forgotten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_from_others_for_as_long_as_the_ledger_reaches_back() {
        let mut base = Ledger::default();
        base.enter("base");
        let mut later = base.clone();
        assert_eq!(later.fate("mine", &base), Fate::Overtaken);
        later.enter("mine");
        assert_eq!(later.fate("mine", &base), Fate::Stored);
        for number in 0..REMEMBERED {
            later.enter(&number.to_string());
        }
        assert_eq!(later.commits.len(), REMEMBERED);
        assert_eq!(later.fate("mine", &base), Fate::Forgotten);
        assert_eq!(later.fate("mine", &Ledger::default()), Fate::Forgotten);
    }
}
