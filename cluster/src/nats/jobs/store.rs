//! What is asked of the stream of jobs, and what every part of the store works with.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use samovar_model::{GatewayId, JobId};
use tokio::sync::Notify;

use super::change::Change;
use super::index::Index;
use super::stored::{self, Found, Place, Seen};
use super::subjects::{Blob, Kind, Subjects};
use super::together::Together;
use super::usage::Usage;
use crate::JobsError;
use crate::nats::Nats;
use crate::nats::stream::Messages;

/// What a request or an answer may have to be in the job's message; a longer one is in messages of its own.
const SHORT: usize = 8 << 10;
/// What subject and headers take of a message, at most.
const OVERHEAD: usize = 4096;
/// How many messages one request may be cut into: a batch takes 1000.
const MAX_PARTS: usize = 400;
/// How many parts are read at once.
const READS: usize = 4;
/// How often a job is looked for that is being moved.
const LOOKS: usize = 3;

/// Shared by all that is done with jobs.
pub(super) struct Store {
    pub(super) messages: Messages,
    pub(super) together: Together,
    pub(super) subjects: Subjects,
    /// As whom this process runs jobs, if it does.
    pub(super) runner: Option<GatewayId>,
    index: Mutex<Index>,
    /// Told when something may have become due.
    pub(super) changed: Notify,
    pub(super) usage: Usage,
    pub(super) max_bytes: u64,
}

pub(super) fn unavailable(error: impl ToString) -> JobsError {
    JobsError::Unavailable(error.to_string())
}

impl Store {
    pub(super) fn new(nats: &Nats, runner: Option<GatewayId>, max_bytes: u64) -> Self {
        let jobs = &nats.buckets().jobs;
        let messages = Messages::of(nats, jobs);
        Self {
            together: Together::spawn(&messages),
            messages,
            subjects: Subjects::of(&jobs.name),
            index: Mutex::new(Index::new(runner.clone(), nats.config().host_expiry)),
            runner,
            changed: Notify::new(),
            usage: Usage::default(),
            max_bytes,
        }
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is at a job's subject.
    pub(super) async fn seen(&self, kind: Kind, id: JobId) -> Result<Seen, String> {
        let message = self.messages.newest(&self.subjects.job(kind, id)).await?;
        Seen::read(message).map_err(|error| format!("job {id} cannot be read: {error}"))
    }

    /// A job, wherever it stands.
    pub(super) async fn find(&self, id: JobId) -> Result<Option<(Kind, Found)>, JobsError> {
        for _ in 0..LOOKS {
            let [open, done, dead] = Kind::ALL.map(|kind| self.seen(kind, id));
            let seen: [Seen; 3] = tokio::try_join!(open, done, dead).map_err(unavailable)?.into();
            let is_known = seen.iter().any(|seen| seen.sequence > 0);
            let found = Kind::ALL.into_iter().zip(seen).filter_map(|(kind, seen)| Some((kind, seen.found?)));
            if let Some(found) = found.max_by_key(|(_, found)| found.sequence) {
                return Ok(Some(found));
            }
            // It may have been moved to where it had been looked for before.
            if !is_known {
                break;
            }
        }
        Ok(None)
    }

    /// The bytes that one part has.
    fn part_bytes(&self) -> usize {
        self.messages.nats.client().max_payload().saturating_sub(OVERHEAD).max(1)
    }

    /// The most bytes that a request can have.
    pub(super) fn longest(&self) -> u64 {
        (self.part_bytes().saturating_mul(MAX_PARTS)) as u64
    }

    /// Decides where a request or an answer is to be, and adds its parts to the change if it is to be in parts. Answers what goes into
    /// the job's message.
    pub(super) fn place(
        &self,
        change: &mut Change,
        blob: Blob,
        id: JobId,
        bytes: Bytes,
        headers: &HeaderMap,
    ) -> (Place, Bytes) {
        let size = self.part_bytes();
        // Half of a message is left to the record, and to the other of the two.
        if bytes.len() <= SHORT.min(size / 4) {
            return (Place::Here(bytes.len()), bytes);
        }
        let count = bytes.len().div_ceil(size);
        for number in 0..count {
            let part = bytes.slice(number * size..bytes.len().min((number + 1) * size));
            change.put(self.subjects.part(blob, id, number), headers.clone(), part);
        }
        (Place::Parts(count), Bytes::new())
    }

    /// Adds to a change that the parts of a request are removed.
    pub(super) fn remove_parts(&self, change: &mut Change, id: JobId, request: Place) {
        if let Place::Parts(count) = request {
            for number in 0..count {
                let gone = stored::gone(&change.name);
                change.put(self.subjects.part(Blob::Request, id, number), gone, Bytes::new());
            }
        }
    }

    /// A request or an answer, whose short form is `here`. None where it is not there, or not whole.
    pub(super) async fn whole(
        &self,
        blob: Blob,
        id: JobId,
        place: Place,
        here: Bytes,
    ) -> Result<Option<Bytes>, JobsError> {
        let count = match place {
            Place::Nowhere => return Ok(None),
            Place::Here(_) => return Ok(Some(here)),
            Place::Parts(count) => count,
        };
        let read = async |number: usize| self.messages.newest(&self.subjects.part(blob, id, number)).await;
        let parts: Vec<_> =
            stream::iter(0..count).map(read).buffered(READS).try_collect().await.map_err(unavailable)?;
        let mut whole = BytesMut::new();
        for part in parts {
            let Some(part) = part.filter(|part| !stored::is_gone(&part.headers)) else { return Ok(None) };
            whole.extend_from_slice(&part.payload);
        }
        Ok(Some(whole.freeze()))
    }

    /// Removes parts that nothing refers to any more.
    pub(super) async fn purge_parts(&self, blob: Blob, id: JobId) -> Result<(), JobsError> {
        let stream = self.messages.stream().await.map_err(unavailable)?;
        stream.purge().filter(self.subjects.parts(blob, id)).await.map(drop).map_err(unavailable)
    }
}
