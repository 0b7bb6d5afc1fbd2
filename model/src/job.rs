//! Jobs: requests that are stored first and answered later. Their names, their states, and what a function says of them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FunctionName, Span};

/// A job's id: 128 random bits, written as 32 hexadecimal digits. Whoever knows it may read the job's state and answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(u128);

/// A text that is not a job's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a job: 32 hexadecimal digits, as the header `location` of its 202 has them")]
pub struct JobIdError(String);

impl JobId {
    /// The id of this number.
    pub const fn from_number(number: u128) -> Self {
        Self(number)
    }

    /// As a number.
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = if digits { u128::from_str_radix(text, 16).ok() } else { None };
        number.map(Self).ok_or_else(|| JobIdError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for JobId {
    type Error = JobIdError;

    fn try_from(text: String) -> Result<Self, JobIdError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

/// Where a job stands.
///
/// ```text
/// Queued -> Running -> Done
///             |  ^
///             |  +-- Waiting   between two attempts
///             +----> Dead      a dead letter, until it is retried by hand or purged
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Stored, and not tried yet.
    Queued,
    /// An attempt is under way.
    Running,
    /// An attempt has failed, and another will be made.
    Waiting,
    /// Answered with a 2xx.
    Done,
    /// Given up: its last answer was final, or its attempts or its time are used up.
    Dead,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Waiting, Self::Done, Self::Dead];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }

    /// Whether no attempt is to come.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Dead)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a job's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state of a job: queued, running, waiting, done or dead")]
pub struct JobStateError(String);

impl FromStr for JobState {
    type Err = JobStateError;

    fn from_str(text: &str) -> Result<Self, JobStateError> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| JobStateError(text.to_owned()))
    }
}

/// `[function.NAME.jobs]`: how a function's jobs are run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSettings {
    /// Whether callers may have their requests stored, with `Prefer: respond-async`. Default true.
    pub respond_async: bool,
    /// Further attempts after one that failed. Default 2.
    pub retries: u32,
    /// How long after it was stored a job may be tried again. Default 6 h.
    pub max_age: Span,
    /// How long it is waited after the first attempt that fails; doubled by each further one, up to an hour. Default 10 s.
    pub backoff: Span,
    /// The function's jobs that one process runs at once. Default 8.
    pub concurrency: u32,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self { respond_async: true, retries: 2, max_age: Span::secs(6 * 3600), backoff: Span::secs(10), concurrency: 8 }
    }
}

/// A job, as it can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// The function it is for.
    #[schema(value_type = String)]
    pub function: FunctionName,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub target: String,
    /// The schedule that made it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that were made, the one under way included.
    pub attempts: u32,
    /// When it was stored.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// When the attempt under way began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub started: Option<Timestamp>,
    /// When the next attempt may be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_attempt: Option<Timestamp>,
    /// When the last attempt ended after which none was to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub finished: Option<Timestamp>,
    /// How the last attempt that has ended did so, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The answer of the attempt that was the last, as far as there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<JobAnswer>,
}

/// What is known of a job's answer without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobAnswer {
    /// Its status.
    pub status: u16,
    /// The size of its body.
    pub body_bytes: u64,
    /// Whether the body was kept. One that is too large is not, not even in part: a part can be taken for the whole.
    pub kept: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_does() {
        let id = JobId::from_number(0xab);
        assert_eq!(id.to_string(), "000000000000000000000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "ab", "0000000000000000000000000000000g", "+00000000000000000000000000000ab"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn states_read_back() {
        for state in JobState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        assert!("Dead".parse::<JobState>().is_err());
    }
}
