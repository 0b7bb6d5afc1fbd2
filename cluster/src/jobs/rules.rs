//! What becomes of a job after an attempt. Pure, and the same for every backend, and for messages of queues.
//!
//! | the attempt ended with | then |
//! | --- | --- |
//! | a 2xx | done |
//! | a 4xx other than 408 and 429 | a dead letter |
//! | any other status | tried again; 429 and 503 not before their `retry-after` |
//! | a body that is larger than the function accepts by now | a dead letter |
//! | a fault before the function ran (no capacity, queue full, not deployed) | tried again, and not counted |
//! | any other fault | tried again |
//!
//! A job that would be tried again is a dead letter once its attempts are used up, or if the next would be past its time.

use std::time::Duration;

use http::{StatusCode, header};
use jiff::Timestamp;
use samovar_model::{Fault, Job, JobAnswer, JobSettings, JobState};
use serde::{Deserialize, Serialize};

use super::{Attempt, NewJob, StoredAnswer};

/// The longest that is waited between two attempts, unless an answer's `retry-after` says more.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);

/// A job, with what it takes to decide about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// As it can be looked at.
    pub(crate) job: Job,
    /// How it is run.
    pub(crate) settings: JobSettings,
    /// Its age counts from then: when it was stored, or retried by hand.
    pub(crate) since: Timestamp,
    /// Attempts that count.
    #[serde(default)]
    pub(crate) counted: u32,
    /// Attempts that ended before the function ran, since the last that counted.
    #[serde(default)]
    pub(crate) deferred: u32,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// What its request takes.
    #[serde(default)]
    pub(crate) request_bytes: u64,
    /// What its answer takes.
    #[serde(default)]
    pub(crate) answer_bytes: u64,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is given up, for this reason where the attempt's outcome does not say it.
    Dead(Option<String>),
    /// It is tried again.
    Again {
        /// After this long.
        after: Duration,
        /// Whether the attempt counts as one of those that it has.
        counts: bool,
    },
}

/// What is decided by: everything but the job's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Attempts that count, the one that has ended included.
    pub counted: u32,
    /// Attempts in a row that did not count, the one that has ended not included.
    pub deferred: u32,
    /// How long ago it was stored; None where it is not for its age that it is given up.
    pub age: Option<Duration>,
}

/// Decides. `jitter` is from 0 to 1.
pub fn verdict(attempt: &Attempt, progress: Progress, settings: &JobSettings, jitter: f64) -> Verdict {
    let (counts, at_least) = match attempt {
        Attempt::Answered(answer) if answer.status.is_success() => return Verdict::Done,
        Attempt::Answered(answer) if is_final(answer.status) => return Verdict::Dead(None),
        Attempt::Answered(answer) => (true, retry_after(answer)),
        Attempt::Failed(Fault::BodyTooLarge(_)) => return Verdict::Dead(None),
        Attempt::Failed(fault) => (may_have_run(fault), Duration::ZERO),
    };
    if counts && progress.counted > settings.retries {
        return Verdict::Dead((settings.retries > 0).then(|| format!("all {} attempts failed", progress.counted)));
    }
    let earlier = if counts { progress.counted.saturating_sub(1) } else { progress.deferred };
    let after = backoff(settings.backoff.as_duration(), earlier, jitter).max(at_least);
    if progress.age.is_some_and(|age| age.saturating_add(after) > settings.max_age.as_duration()) {
        return Verdict::Dead(Some(format!("the next attempt would be past its time ({})", settings.max_age)));
    }
    Verdict::Again { after, counts }
}

/// Whether an attempt is one of those that the function has.
fn may_have_run(fault: &Fault) -> bool {
    match fault {
        // It has not run, but no wait will mend it.
        Fault::Start => true,
        // A deploy may bring it back, or this process has not heard of it yet.
        Fault::NoFunction => false,
        fault => !fault.never_started(),
    }
}

/// Whether a further attempt would be answered just so.
fn is_final(status: StatusCode) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !passing.contains(&status)
}

/// How long an answer asks to be left alone, in seconds; a date is not looked at.
fn retry_after(answer: &StoredAnswer) -> Duration {
    if ![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status) {
        return Duration::ZERO;
    }
    let value = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs)
}

/// Doubles with each earlier attempt; between half of that and all of it, so that jobs that failed together come back apart.
fn backoff(first: Duration, earlier: u32, jitter: f64) -> Duration {
    let whole = first.saturating_mul(1_u32.checked_shl(earlier).unwrap_or(u32::MAX)).min(MAX_BACKOFF.max(first));
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// An attempt's outcome as people read it.
pub fn outcome(attempt: &Attempt, why: Option<String>) -> String {
    let outcome = match attempt {
        Attempt::Answered(answer) => format!("answered {}", answer.status),
        Attempt::Failed(fault) => fault.to_string(),
    };
    match why {
        Some(why) => format!("{outcome}; {why}"),
        None => outcome,
    }
}

impl Record {
    /// A job that was just stored.
    pub(crate) fn new(id: samovar_model::JobId, new: &NewJob, now: Timestamp) -> Self {
        let job = Job {
            id,
            function: new.function.clone(),
            method: new.request.method.to_string(),
            target: new.request.target.clone(),
            schedule: new.tick.as_ref().map(|tick| tick.shown.clone()),
            state: JobState::Queued,
            attempts: 0,
            created: now,
            started: None,
            next_attempt: Some(now),
            finished: None,
            outcome: None,
            answer: None,
        };
        let key = new.key.as_ref().map(|key| key.key.clone());
        let settings = new.settings.clone();
        Self { job, settings, since: now, counted: 0, deferred: 0, key, request_bytes: 0, answer_bytes: 0 }
    }

    /// The job while an attempt is under way that began then.
    pub(crate) fn running(&self, started: Timestamp) -> Job {
        let attempts = self.job.attempts + 1;
        Job { state: JobState::Running, attempts, started: Some(started), next_attempt: None, ..self.job.clone() }
    }

    /// The job after an attempt.
    pub(crate) fn after(mut self, attempt: &Attempt, now: Timestamp, jitter: f64) -> Self {
        let age = Some(Duration::try_from(now.duration_since(self.since)).unwrap_or_default());
        let progress = Progress { counted: self.counted + 1, deferred: self.deferred, age };
        let verdict = verdict(attempt, progress, &self.settings, jitter);
        self.job.attempts += 1;
        self.counted += 1;
        (self.job.started, self.job.next_attempt) = (None, None);
        self.job.answer = match attempt {
            Attempt::Answered(answer) => {
                let (status, body_bytes, kept) = (answer.status.as_u16(), answer.body_bytes, answer.body.is_some());
                Some(JobAnswer { status, body_bytes, kept })
            }
            Attempt::Failed(_) => None,
        };
        let why = match verdict {
            Verdict::Done => {
                (self.job.state, self.job.finished) = (JobState::Done, Some(now));
                None
            }
            Verdict::Dead(why) => {
                (self.job.state, self.job.finished) = (JobState::Dead, Some(now));
                why
            }
            Verdict::Again { after, counts } => {
                self.job.state = JobState::Waiting;
                self.job.next_attempt = Some(now.saturating_add(after).unwrap_or(Timestamp::MAX));
                if counts {
                    self.deferred = 0;
                } else {
                    self.counted -= 1;
                    self.deferred += 1;
                }
                None
            }
        };
        self.job.outcome = Some(outcome(attempt, why));
        self
    }

    /// The job when it is retried by hand; none where that makes no sense.
    pub(crate) fn retried(mut self, now: Timestamp) -> Option<Self> {
        if !matches!(self.job.state, JobState::Dead | JobState::Waiting) {
            return None;
        }
        self.job.state = JobState::Queued;
        (self.job.next_attempt, self.job.finished) = (Some(now), None);
        (self.since, self.counted, self.deferred) = (now, 0, 0);
        Some(self)
    }
}

#[cfg(test)]
mod tests;
