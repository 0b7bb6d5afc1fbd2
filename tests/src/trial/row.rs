//! What came of one failure.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use super::fault::Fault;
use crate::load::{Failure, Window};

/// What came of one failure.
#[derive(Debug)]
pub struct Row {
    /// The failure.
    pub fault: Fault,
    /// How many idempotent requests were sent.
    pub sent: usize,
    /// How many of them failed, by kind.
    pub failures: BTreeMap<Failure, usize>,
    /// Before the failure.
    pub before: Window,
    /// From the failure on until it was mended.
    pub during: Window,
    /// From then on.
    pub after: Window,
    /// How long after the failure the last request was due that failed, or took ten times as long as 99 of 100 had before
    /// (at least a quarter of a second).
    pub recovered: Duration,
    /// The longest time in which each gateway answered nothing.
    pub silences: Vec<Duration>,
    /// How many requests were sent that must not run twice.
    pub once_sent: usize,
    /// How many of them failed, by kind.
    pub once_failures: BTreeMap<Failure, usize>,
    /// Those that ran twice.
    pub repeated: Vec<String>,
    /// How many deploys were acknowledged.
    pub acknowledged: usize,
    /// How many were not.
    pub refused: usize,
    /// Those that were acknowledged, and are not there.
    pub lost: Vec<String>,
}

impl Row {
    /// How many of the idempotent requests failed.
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// How many of the requests failed that must not run twice.
    pub fn once_failed(&self) -> usize {
        self.once_failures.values().sum()
    }

    /// Sees that nothing ran twice and no acknowledged deploy was lost: what no failure may do.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn holds(&self) -> &Self {
        assert!(self.repeated.is_empty(), "ran twice: {:?}\n{self}", self.repeated);
        assert!(self.lost.is_empty(), "acknowledged and lost: {:?}\n{self}", self.lost);
        assert!(self.acknowledged > 0, "no deploy was acknowledged\n{self}");
        self
    }

    /// The same, and that no idempotent request failed.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn nothing_failed(&self) -> &Self {
        assert_eq!(self.failed(), 0, "{self}");
        self.holds()
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} sent, {} failed", self.fault.title(), self.sent, self.failed())?;
        for (failure, number) in &self.failures {
            writeln!(f, "  {number} times {failure}")?;
        }
        let [before, during, after] = [self.before, self.during, self.after].map(|window| window.p99);
        writeln!(f, "  p99 before {before:.1?}, during {during:.1?}, after {after:.1?}")?;
        writeln!(f, "  well again after {:.1?}; silences of the gateways {:.1?}", self.recovered, self.silences)?;
        let repeated = self.repeated.len();
        writeln!(f, "  to run once: {} sent, {} failed, {repeated} ran twice", self.once_sent, self.once_failed())?;
        for (failure, number) in &self.once_failures {
            writeln!(f, "    {number} times {failure}")?;
        }
        let lost = self.lost.len();
        write!(f, "  deploys: {} acknowledged, {} not, {lost} lost", self.acknowledged, self.refused)
    }
}
