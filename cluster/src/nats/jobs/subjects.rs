//! Where jobs and what belongs to them are in the stream.
//!
//! | subject | holds |
//! | --- | --- |
//! | `$KV.<store>.open.<id>` | a job that has an attempt before it or under way; some minutes more: that it has not |
//! | `$KV.<store>.done.<id>`, `….dead.<id>` | a job that has come to its end |
//! | `$KV.<store>.request.<id>.<n>`, `….answer.<id>.<n>` | what of a request or an answer does not fit into the job's message |
//! | `$KV.<store>.key.<function>.<hash>` | the job that an idempotency key stands for |
//! | `$KV.<store>.tick.<function>.<schedule>` | the last tick of a schedule |
//!
//! Open jobs are apart from those that have ended so that whoever runs jobs need only watch the former.

use samovar_model::{FunctionName, JobId, JobState, ScheduleKey};
use sha2::{Digest as _, Sha256};

/// The last token of a subject that nothing is kept at: see `scan.rs`.
const FENCE: &str = "_";

/// What jobs are together with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Done,
    Dead,
}

/// What may not fit into a job's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blob {
    Request,
    Answer,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Open, Self::Done, Self::Dead];

    pub(super) fn of(state: JobState) -> Self {
        match state {
            JobState::Queued | JobState::Running | JobState::Waiting => Self::Open,
            JobState::Done => Self::Done,
            JobState::Dead => Self::Dead,
        }
    }

    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

impl Blob {
    fn token(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }
}

/// The subjects of one store.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    /// `$KV.<store>.`
    start: String,
}

/// Some subjects, and one more that is among them.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) filter: String,
    pub(super) fence: String,
}

impl Subjects {
    pub(super) fn of(store: &str) -> Self {
        Self { start: format!("$KV.{store}.") }
    }

    pub(super) fn job(&self, kind: Kind, id: JobId) -> String {
        format!("{}{}.{id}", self.start, kind.token())
    }

    pub(super) fn jobs(&self, kind: Kind) -> Range {
        let start = format!("{}{}", self.start, kind.token());
        Range { filter: format!("{start}.*"), fence: format!("{start}.{FENCE}") }
    }

    /// The job of a job's subject.
    pub(super) fn id(&self, subject: &str) -> Option<JobId> {
        subject.strip_prefix(&self.start)?.split('.').nth(1)?.parse().ok()
    }

    pub(super) fn part(&self, blob: Blob, id: JobId, number: usize) -> String {
        format!("{}{}.{id}.{number}", self.start, blob.token())
    }

    /// All parts of one job's request or answer.
    pub(super) fn parts(&self, blob: Blob, id: JobId) -> String {
        format!("{}{}.{id}.*", self.start, blob.token())
    }

    /// The first parts of all requests that have parts.
    pub(super) fn first_parts(&self) -> Range {
        let start = format!("{}{}", self.start, Blob::Request.token());
        Range { filter: format!("{start}.*.0"), fence: format!("{start}.{FENCE}.0") }
    }

    pub(super) fn key(&self, function: &FunctionName, key: &str) -> String {
        let hash = hex::encode(&Sha256::digest(key.as_bytes())[..16]);
        format!("{}key.{function}.{hash}", self.start)
    }

    pub(super) fn tick(&self, schedule: &ScheduleKey) -> String {
        format!("{}tick.{schedule}", self.start)
    }

    pub(super) fn ticks(&self) -> Range {
        Range { filter: format!("{}tick.>", self.start), fence: format!("{}tick.{FENCE}", self.start) }
    }

    /// The schedule of a tick's subject.
    pub(super) fn schedule<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.start)?.strip_prefix("tick.").filter(|schedule| *schedule != FENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_subject_tells_its_id_and_a_fence_is_no_job() {
        let subjects = Subjects::of("samovar_job");
        let id = JobId::from_number(255);
        let subject = subjects.job(Kind::Dead, id);
        assert_eq!(subject, "$KV.samovar_job.dead.000000000000000000000000000000ff");
        assert_eq!(subjects.id(&subject), Some(id));
        assert_eq!(subjects.id(&subjects.part(Blob::Request, id, 3)), Some(id));
        for range in [subjects.jobs(Kind::Open), subjects.first_parts()] {
            assert_eq!(subjects.id(&range.fence), None, "{range:?}");
        }
        assert_eq!(subjects.schedule(&subjects.ticks().fence), None);
    }

    #[test]
    fn whatever_a_key_is_its_subject_is_one() {
        let subjects = Subjects::of("samovar_job");
        let subject = subjects.key(&"shop".parse().unwrap(), "a.b *>\u{e4}");
        let hash = subject.strip_prefix("$KV.samovar_job.key.shop.").unwrap();
        assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{subject}");
    }
}
