//! A new job: stored with its request, its idempotency key and its tick, or not at all.

use std::sync::Arc;

use async_nats::HeaderMap;
use jiff::Timestamp;
use samovar_model::JobId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::change::{Base, Change, Committed};
use super::store::{Store, unavailable};
use super::stored::{self, Place, Stored};
use super::subjects::{Blob, Kind};
use crate::jobs::rules::Record;
use crate::jobs::{DONE_KEPT, IdempotencyKey, JobsError, LastTick, NewJob, Submitted, Tick};
use crate::nats::commits::Commits;
use crate::nats::stream::{PATIENCE, PAUSE};
use crate::random;

/// The job that an idempotency key stands for. The server forgets it when its time is over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyEntry {
    pub(super) job: JobId,
    /// What its request was, in hexadecimal digits.
    fingerprint: String,
}

/// The last tick of a schedule.
#[derive(Debug, Serialize, Deserialize)]
struct TickEntry {
    at: Timestamp,
    job: JobId,
}

/// What decides whether a job is new, as it was found.
#[derive(Default)]
struct Marks {
    /// The sequences of the key's and the tick's message.
    key: u64,
    tick: u64,
}

impl LastTick {
    /// Reads a tick's message.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let TickEntry { at, job } = serde_json::from_slice(payload).ok()?;
        Some(Self { at, job })
    }
}

/// Stores a job, unless it was stored before.
pub(super) async fn submit(store: &Arc<Store>, new: NewJob) -> Result<Submitted, JobsError> {
    let id = random::bytes().map_err(unavailable)?;
    let id = JobId::from_number(u128::from_be_bytes(id));
    let request = bytes::Bytes::from(new.request.encode());
    let (more, limit) = (request.len() as u64, store.longest());
    if more > limit {
        return Err(JobsError::TooLarge { limit, actual: more });
    }
    let (used, limit) = (store.usage.look().bytes, store.max_bytes);
    // Ticks are small and few, and nobody would send one again.
    if new.tick.is_none() && used.saturating_add(more) > limit {
        return Err(JobsError::Full { used, limit, more });
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let marks = match marks(store, &new).await? {
            Ok(marks) => marks,
            Err(known) => return known,
        };
        let record = Record { request_bytes: more, ..Record::new(id, &new, Timestamp::now()) };
        let (change, stored) = change(store, &new, record, request.clone(), &marks)?;
        match change.commit(store, PATIENCE).await? {
            Committed::Stored(sequence) => {
                if let Some(sequence) = sequence {
                    let (_, standing) = stored.headers().map_err(unavailable)?;
                    store.index().wrote(id, sequence, Some(standing));
                    store.changed.notify_waiters();
                }
                return Ok(Submitted::New(id));
            }
            Committed::Overtaken if Instant::now() >= end => {
                return Err(unavailable("others use the same idempotency key all the time"));
            }
            // By a job with the same key or tick, which will be found.
            Committed::Overtaken => sleep(PAUSE).await,
        }
    }
}

/// The messages of a new job.
fn change(
    store: &Store,
    new: &NewJob,
    record: Record,
    request: bytes::Bytes,
    marks: &Marks,
) -> Result<(Change, Stored), JobsError> {
    let id = record.job.id;
    let mut change = Change::of(Base { kind: Kind::Open, id, sequence: 0, commit: None })?;
    let (place, here) = store.place(&mut change, Blob::Request, id, request, &HeaderMap::new());
    let mut commits = Commits::default();
    commits.enter(&change.name);
    let stored = Stored { record, held: None, request: place, answer: Place::Nowhere, commits };
    if let Some(IdempotencyKey { key, fingerprint }) = &new.key {
        let entry = KeyEntry { job: id, fingerprint: hex::encode(fingerprint) };
        let mut headers = HeaderMap::new();
        stored::expire(&mut headers, DONE_KEPT);
        let payload = serde_json::to_vec(&entry).map_err(unavailable)?;
        change.put_if(store.subjects.key(&new.function, key), marks.key, headers, payload.into());
    }
    if let Some(tick) = &new.tick {
        let payload = serde_json::to_vec(&TickEntry { at: tick.at, job: id }).map_err(unavailable)?;
        change.put_if(store.subjects.tick(&tick.schedule), marks.tick, HeaderMap::new(), payload.into());
    }
    let (headers, _) = stored.headers().map_err(unavailable)?;
    change.put_job(store, headers, stored.content(&here, &[]).map_err(unavailable)?);
    Ok((change, stored))
}

/// Looks for the job's key and tick: what is to be replaced, or the job that was stored before.
async fn marks(store: &Store, new: &NewJob) -> Result<Result<Marks, Result<Submitted, JobsError>>, JobsError> {
    let mut marks = Marks::default();
    if let Some(Tick { schedule, at, .. }) = &new.tick
        && let Some(message) = store.messages.newest(&store.subjects.tick(schedule)).await.map_err(unavailable)?
    {
        marks.tick = message.sequence;
        if let Some(last) = LastTick::read(&message.payload).filter(|last| last.at >= *at) {
            return Ok(Err(Ok(Submitted::Known(last.job))));
        }
    }
    if let Some(IdempotencyKey { key, fingerprint }) = &new.key {
        let message = store.messages.newest(&store.subjects.key(&new.function, key)).await.map_err(unavailable)?;
        marks.key = message.as_ref().map_or(0, |message| message.sequence);
        let entry = message.and_then(|message| serde_json::from_slice::<KeyEntry>(&message.payload).ok());
        if let Some(entry) = entry
            && store.find(entry.job).await?.is_some()
        {
            let same = entry.fingerprint == hex::encode(fingerprint);
            return Ok(Err(if same { Ok(Submitted::Known(entry.job)) } else { Err(JobsError::KeyTaken(entry.job)) }));
        }
    }
    Ok(Ok(marks))
}
