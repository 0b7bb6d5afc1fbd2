//! The names of the last commits of something, kept with it: so whoever sent a commit whose answer was lost can tell whether it is
//! among them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How many commits are remembered: enough to look up one whose answer was lost after others followed.
const REMEMBERED: usize = 16;

/// The names, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Commits(VecDeque<String>);

/// Whether a commit is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    /// It is not, and never will be.
    Overtaken,
    /// They do not reach back far enough.
    Forgotten,
}

impl Commits {
    /// Enters a commit.
    pub(super) fn enter(&mut self, commit: &str) {
        while self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(commit.to_owned());
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<&str> {
        self.0.back().map(String::as_str)
    }

    /// What became of a commit that was decided when the last commit was `base`.
    pub(super) fn fate(&self, commit: &str, base: Option<&str>) -> Fate {
        let has = |name: &str| self.0.iter().any(|known| known == name);
        let reaches_back = match base {
            Some(before) => has(before),
            None => self.0.len() < REMEMBERED,
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
    fn a_commit_is_told_from_others_for_as_long_as_the_names_reach_back() {
        let mut commits = Commits::default();
        commits.enter("base");
        assert_eq!(commits.fate("mine", Some("base")), Fate::Overtaken);
        commits.enter("mine");
        assert_eq!(commits.fate("mine", Some("base")), Fate::Stored);
        for number in 0..REMEMBERED {
            commits.enter(&number.to_string());
        }
        assert_eq!(commits.0.len(), REMEMBERED);
        assert_eq!(commits.fate("mine", Some("base")), Fate::Forgotten);
        assert_eq!(commits.fate("mine", None), Fate::Forgotten);
    }
}
