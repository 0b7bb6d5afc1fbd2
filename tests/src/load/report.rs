//! What came of a load: each request, and the figures over all or some of them.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

/// One request and what came of it. Times are counted from the load's beginning.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which request it is, from 0.
    pub number: u64,
    /// When it was due.
    pub at: Duration,
    /// From when it was due to the last byte of the answer, or to the failure.
    pub latency: Duration,
    /// The gateway whose turn it was.
    pub turn: usize,
    /// The gateway that took it.
    pub gateway: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Status 200, with the body that was expected.
    Answered(Answered),
    /// Anything else.
    Failed(Failure),
}

/// Who answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The function's revision.
    pub revision: Option<u64>,
    /// The instance.
    pub instance: Option<String>,
    /// The host, where the answer tells it.
    pub host: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No gateway accepted a connection: nothing was sent.
    NoConnection,
    /// The connection ended with the request under way.
    Broken,
    /// There was no answer within the load's patience.
    Late,
    /// This status, and the type of the problem where the answer says what it is.
    Status(u16, String),
    /// Another body than expected: this one.
    Wrong(String),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection"),
            Self::Broken => f.write_str("connection broke"),
            Self::Late => f.write_str("no answer in time"),
            Self::Status(status, problem) => write!(f, "status {status} {problem}"),
            Self::Wrong(body) => write!(f, "answer {body:?}"),
        }
    }
}

/// All requests of a load.
#[derive(Debug)]
pub struct Report {
    records: Vec<Record>,
    ended: Duration,
}

/// The figures over the requests that were due in some span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many there were.
    pub sent: usize,
    /// How many of them failed.
    pub failed: usize,
    /// The median latency of those that did not; zero where none did not.
    pub p50: Duration,
    /// What 99 of 100 of them were within.
    pub p99: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Record {
    /// Whether it was answered as it should be.
    pub fn is_answered(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(_))
    }

    /// When it was over.
    pub fn over(&self) -> Duration {
        self.at + self.latency
    }
}

impl Report {
    pub(super) fn new(mut records: Vec<Record>, ended: Duration) -> Self {
        records.sort_by_key(|record| record.number);
        Self { records, ended }
    }

    /// Each request, in their order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How many there were.
    pub fn sent(&self) -> usize {
        self.records.len()
    }

    /// How many of them failed.
    pub fn failed(&self) -> usize {
        self.records.iter().filter(|record| !record.is_answered()).count()
    }

    /// The failures: how many of each kind.
    pub fn failures(&self) -> BTreeMap<Failure, usize> {
        let mut failures = BTreeMap::new();
        for record in &self.records {
            if let Outcome::Failed(failure) = &record.outcome {
                *failures.entry(failure.clone()).or_default() += 1;
            }
        }
        failures
    }

    /// The figures over the requests that were due in this span.
    pub fn window(&self, span: Range<Duration>) -> Window {
        let within: Vec<_> = self.records.iter().filter(|record| span.contains(&record.at)).collect();
        let answered = within.iter().filter(|record| record.is_answered());
        let mut latencies: Vec<_> = answered.map(|record| record.latency).collect();
        latencies.sort_unstable();
        let percentile = |percent: usize| match latencies.len() {
            0 => Duration::ZERO,
            number => latencies[(number * percent).div_ceil(100).max(1) - 1],
        };
        let (p50, p99, longest) = (percentile(50), percentile(99), percentile(100));
        Window { sent: within.len(), failed: within.len() - latencies.len(), p50, p99, longest }
    }

    /// The figures over everything.
    pub fn whole(&self) -> Window {
        self.window(Duration::ZERO..Duration::MAX)
    }

    /// The longest span, from the load's beginning to its end, in which this gateway answered nothing.
    pub fn longest_silence(&self, gateway: usize) -> Duration {
        let answered = self.records.iter().filter(|record| record.gateway == gateway && record.is_answered());
        let mut times: Vec<_> = answered.map(Record::over).chain([self.ended]).collect();
        times.sort_unstable();
        let mut last = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for time in times {
            longest = longest.max(time.saturating_sub(last));
            last = time;
        }
        longest
    }

    /// How long after `event` all was well again: until the last request was due that failed, or that took longer than
    /// `slow`. Zero where there was none.
    pub fn recovered_after(&self, event: Duration, slow: Duration) -> Duration {
        let bad = |record: &&Record| record.at >= event && (!record.is_answered() || record.latency > slow);
        self.records.iter().rfind(bad).map_or(Duration::ZERO, |record| record.at - event)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { sent, failed, p50, p99, longest } = self.whole();
        write!(f, "{sent} sent, {failed} failed, p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}")?;
        for (failure, number) in self.failures() {
            write!(f, "; {number} times {failure}")?;
        }
        Ok(())
    }
}
