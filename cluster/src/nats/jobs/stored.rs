//! A job's message: what it holds, and how it is written down.
//!
//! The header `Samovar-Job` says what all who run jobs must know of it, so that watching need not bring what is asked and answered.
//! The content is the record as JSON, then the request and the answer, as far as they are short; others are in messages of their
//! own.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, NATS_MESSAGE_TTL};
use async_nats::jetstream::message::StreamMessage;
use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use samovar_model::{FunctionName, GatewayId, Job, JobState};
use serde::{Deserialize, Serialize};

use super::index::Index;
use super::subjects::Kind;
use crate::jobs::rules::Record;
use crate::jobs::{DEAD_KEPT, DONE_KEPT};
use crate::nats::commits::Commits;

/// What all must know of a job, as JSON.
const STANDING: HeaderName = HeaderName::from_static("Samovar-Job");
/// Which commit removed what was there.
const REMOVED_BY: HeaderName = HeaderName::from_static("Samovar-Removed-By");
/// What the tools of NATS know something deleted by.
const OPERATION: HeaderName = HeaderName::from_static("KV-Operation");
const DELETED: &str = "DEL";
/// How long the server keeps the message that says that something is gone: long after a write that was decided before can have
/// arrived.
const GONE_FOR: Duration = Duration::from_secs(300);

/// A job as it is stored, without what is asked and answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) record: Record,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
    #[serde(default)]
    pub(super) request: Place,
    #[serde(default)]
    pub(super) answer: Place,
    #[serde(default)]
    pub(super) commits: Commits,
}

/// Who runs a job, and since when, by its clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) owner: GatewayId,
    pub(super) since: Timestamp,
}

/// Where a request or an answer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// There is none.
    #[default]
    Nowhere,
    /// In the job's message: so many bytes.
    Here(usize),
    /// In so many messages.
    Parts(usize),
}

/// What all who run jobs, or forget them, must know of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) function: FunctionName,
    /// Where it stands when nobody runs it.
    pub(super) state: JobState,
    /// When it is due, or came to its end.
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// Whether there are parts in messages of their own.
    #[serde(default)]
    pub(super) in_parts: bool,
}

/// A job's message that was read.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) stored: Stored,
    /// The request and the answer, as far as they are here.
    pub(super) request: Bytes,
    pub(super) answer: Bytes,
}

/// What there is at a job's subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The sequence of its message; 0 where there is none.
    pub(super) sequence: u64,
    /// The commit that removed what was there, if one did.
    pub(super) removed_by: Option<String>,
    pub(super) found: Option<Found>,
}

impl Stored {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(self.record.job.state)
    }

    fn standing(&self) -> Standing {
        let job = &self.record.job;
        Standing {
            function: job.function.clone(),
            state: job.state,
            at: job.finished.or(job.next_attempt).unwrap_or(job.created),
            held: self.held.clone(),
            key: self.record.key.clone(),
            in_parts: [self.request, self.answer].iter().any(|place| matches!(place, Place::Parts(_))),
        }
    }

    /// The job as it can be looked at; the index knows whether who is to run it does.
    pub(super) fn shown(self, index: &Index) -> Job {
        match &self.held {
            Some(held) if index.is_running(self.record.job.id, &held.owner) => self.record.running(held.since),
            _ => self.record.job,
        }
    }

    /// The headers of the job's message, and what it says to those who watch.
    pub(super) fn headers(&self) -> Result<(HeaderMap, Standing), String> {
        let mut headers = HeaderMap::new();
        let standing = self.standing();
        headers.insert(STANDING, serde_json::to_string(&standing).map_err(|error| error.to_string())?.as_str());
        if let Some(kept) = kept(standing.state) {
            expire(&mut headers, kept);
        }
        Ok((headers, standing))
    }

    /// The content of the job's message.
    pub(super) fn content(&self, request: &[u8], answer: &[u8]) -> Result<Bytes, String> {
        let json = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let length = u32::try_from(json.len()).map_err(|error| error.to_string())?;
        let mut content = BytesMut::with_capacity(4 + json.len() + request.len() + answer.len());
        content.put_u32(length);
        for part in [&json, request, answer] {
            content.extend_from_slice(part);
        }
        Ok(content.freeze())
    }
}

/// How long the server keeps what is in this state; for good where absent.
pub(super) fn kept(state: JobState) -> Option<Duration> {
    match state {
        JobState::Done => Some(DONE_KEPT),
        JobState::Dead => Some(DEAD_KEPT),
        JobState::Queued | JobState::Running | JobState::Waiting => None,
    }
}

/// Has the server remove the message after this long.
pub(super) fn expire(headers: &mut HeaderMap, after: Duration) {
    headers.insert(NATS_MESSAGE_TTL, format!("{}s", after.as_secs()).as_str());
}

/// The headers of the message that says that something is gone.
pub(super) fn gone(commit: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, DELETED);
    headers.insert(REMOVED_BY, commit);
    expire(&mut headers, GONE_FOR);
    headers
}

pub(super) fn is_gone(headers: &HeaderMap) -> bool {
    headers.get(OPERATION).is_some_and(|operation| operation.as_str() == DELETED)
}

/// What a job's message says to those who watch; nothing where it says that there is none, or cannot be read.
pub(super) fn standing(headers: &HeaderMap) -> Option<Standing> {
    serde_json::from_str(headers.get(STANDING)?.as_str()).ok()
}

impl Found {
    /// Reads a job's message.
    pub(super) fn read(sequence: u64, content: &Bytes) -> Result<Self, String> {
        let cut = || "a job's message is cut short".to_owned();
        let (length, rest) = content.split_first_chunk::<4>().ok_or_else(cut)?;
        let json = rest.get(..u32::from_be_bytes(*length) as usize).ok_or_else(cut)?;
        let stored: Stored = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut at = 4 + json.len();
        let [request, answer] = [stored.request, stored.answer].map(|place| {
            let Place::Here(bytes) = place else { return Some(Bytes::new()) };
            let end = at.checked_add(bytes).filter(|end| *end <= content.len())?;
            Some(content.slice(std::mem::replace(&mut at, end)..end))
        });
        Ok(Self { sequence, stored, request: request.ok_or_else(cut)?, answer: answer.ok_or_else(cut)? })
    }
}

impl Seen {
    pub(super) fn read(message: Option<StreamMessage>) -> Result<Self, String> {
        let Some(StreamMessage { sequence, headers, payload, .. }) = message else { return Ok(Self::default()) };
        if is_gone(&headers) {
            let removed_by = headers.get(REMOVED_BY).map(|commit| commit.as_str().to_owned());
            return Ok(Self { sequence, removed_by, found: None });
        }
        Ok(Self { sequence, removed_by: None, found: Some(Found::read(sequence, &payload)?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use samovar_model::JobId;

    use super::*;
    use crate::contract::jobs::asking;

    fn stored(request: usize, answer: usize) -> Stored {
        let record = Record::new(JobId::from_number(1), &asking("a", b""), Timestamp::now());
        let place = |bytes| if bytes == 0 { Place::Nowhere } else { Place::Here(bytes) };
        let commits = Commits::default();
        Stored { record, held: None, request: place(request), answer: place(answer), commits }
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back(
            request in prop::collection::vec(any::<u8>(), 0..64),
            answer in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let stored = stored(request.len(), answer.len());
            let found = Found::read(7, &stored.content(&request, &answer).unwrap()).unwrap();
            prop_assert_eq!((found.sequence, &found.stored.record), (7, &stored.record));
            prop_assert_eq!((&found.request[..], &found.answer[..]), (&request[..], &answer[..]));
            let (headers, shown) = stored.headers().unwrap();
            prop_assert_eq!(standing(&headers), Some(shown));
        }

        #[test]
        fn damaged_bytes_are_refused_not_fatal(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..40_usize) {
            prop_assert!(Found::read(1, &Bytes::from(bytes)).is_err());
            let whole = stored(20, 20).content(&[1; 20], &[2; 20]).unwrap();
            prop_assert!(Found::read(1, &whole.slice(..whole.len() - 1 - cut)).is_err());
        }
    }
}
