//! One change of jobs: messages that are stored together, under conditions, or not at all.
//!
//! Every change rewrites or removes some job's message, and leaves its name there. Where NATS gives no answer the same messages
//! are sent again under the same conditions, which only one of the copies can meet; whatever comes back decides.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bytes::Bytes;
use samovar_model::JobId;
use tokio::time::{Instant, sleep};

use super::store::{Store, unavailable};
use super::stored::{self, Seen};
use super::subjects::Kind;
use crate::JobsError;
use crate::nats::commits::Fate;
use crate::nats::stream::{NotStored, PATIENCE, PAUSE, Part, new_name};

/// A change that is put together.
#[derive(Debug)]
pub(super) struct Change {
    /// Named in the job's message.
    pub(super) name: String,
    parts: Vec<Part>,
    /// Subjects, and the sequence of the message that must be the last of each; the job's first.
    conditions: Vec<(String, u64)>,
    base: Base,
}

/// What a change is decided on: the job's message, in which it leaves its name.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) kind: Kind,
    pub(super) id: JobId,
    /// The sequence of the message that is there before; 0 where there is none.
    pub(super) sequence: u64,
    /// The last commit that is named in it.
    pub(super) commit: Option<String>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    /// It is stored: the sequence of the job's message, where that is still the change's.
    Stored(Option<u64>),
    /// Somebody else was first, and it never will be.
    Overtaken,
}

impl Change {
    /// A change without anything in it, of this job.
    pub(super) fn of(base: Base) -> Result<Self, JobsError> {
        let name = new_name().map_err(unavailable)?;
        Ok(Self { name, parts: Vec::new(), conditions: Vec::new(), base })
    }

    /// Stores the job's own message, in place of the one that the change is decided on.
    pub(super) fn put_job(&mut self, store: &Store, headers: HeaderMap, content: Bytes) {
        let Base { kind, id, sequence, .. } = self.base;
        self.put_if(store.subjects.job(kind, id), sequence, headers, content);
    }

    /// Removes the job's own message.
    pub(super) fn remove_job(&mut self, store: &Store) {
        self.put_job(store, stored::gone(&self.name), Bytes::new());
    }

    /// Stores a message.
    pub(super) fn put(&mut self, subject: String, headers: HeaderMap, payload: Bytes) {
        self.parts.push(Part { subject, headers, payload });
    }

    /// Stores a message, if the last one of its subject is this one.
    pub(super) fn put_if(&mut self, subject: String, expected: u64, mut headers: HeaderMap, payload: Bytes) {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
        let at = if self.is_jobs(&subject) { 0 } else { self.conditions.len() };
        self.conditions.insert(at, (subject.clone(), expected));
        self.put(subject, headers, payload);
    }

    fn is_jobs(&self, subject: &str) -> bool {
        subject.ends_with(&format!("{}.{}", self.base.kind.token(), self.base.id))
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| (part.subject.len() + part.payload.len()) as u64).sum()
    }

    /// Stores it, or learns that somebody else was first. It is tried for this long.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] where a copy was sent whose answer never came; else nothing is stored.
    pub(super) async fn commit(&self, store: &Store, patience: Duration) -> Result<Committed, JobsError> {
        let end = Instant::now() + patience;
        let mut open = false;
        loop {
            let away = store.messages.ready().await.err();
            // Whoever waits for an answer need not wait until NATS is back.
            let is_over = away.is_some() && patience <= PATIENCE && !open;
            let failed = match away {
                Some(away) => away,
                None => match self.attempt(store, &mut open).await {
                    Ok(committed) => return Ok(committed),
                    Err(failed) => failed,
                },
            };
            if is_over || Instant::now() + PAUSE >= end {
                return Err(if open { JobsError::Unknown(failed) } else { unavailable(failed) });
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, store: &Store, open: &mut bool) -> Result<Committed, String> {
        let stored = match self.parts.len() {
            1 => store.messages.publish(self.parts.clone()).await,
            _ => store.together.publish(self.parts.clone()).await,
        };
        match stored {
            Ok(last) => {
                let after = self.parts.iter().rev().take_while(|part| !self.is_jobs(&part.subject)).count();
                store.usage.stored(self.bytes());
                Ok(Committed::Stored(Some(last - after as u64)))
            }
            Err(NotStored::Conflict) if !*open => Ok(Committed::Overtaken),
            Err(NotStored::Conflict) => self.settle(store).await,
            Err(NotStored::Refused(reason)) => Err(reason),
            Err(NotStored::Open(reason)) => {
                *open = true;
                Err(reason)
            }
        }
    }

    /// Learns what became of a copy whose answer was lost, when another has met with a conflict.
    async fn settle(&self, store: &Store) -> Result<Committed, String> {
        let Base { kind, id, sequence, commit } = &self.base;
        let seen = store.seen(*kind, *id).await?;
        if seen.sequence != *sequence {
            return self.fate(&seen, commit.as_deref());
        }
        for (subject, expected) in &self.conditions {
            let newest = store.messages.newest(subject).await?.map_or(0, |message| message.sequence);
            if newest != *expected {
                // It stays so: no copy can be stored any more.
                return Ok(Committed::Overtaken);
            }
        }
        Err("NATS has not decided yet".to_owned())
    }

    fn fate(&self, seen: &Seen, before: Option<&str>) -> Result<Committed, String> {
        if seen.removed_by.as_ref() == Some(&self.name) {
            return Ok(Committed::Stored(Some(seen.sequence)));
        }
        let Some(found) = &seen.found else { return Ok(Committed::Overtaken) };
        let commits = &found.stored.commits;
        match commits.fate(&self.name, before) {
            Fate::Stored => {
                let own = commits.last() == Some(&self.name);
                Ok(Committed::Stored(own.then_some(seen.sequence)))
            }
            Fate::Overtaken => Ok(Committed::Overtaken),
            Fate::Forgotten => Err("many others have changed the job since".to_owned()),
        }
    }
}
