//! Taking a job, and what comes of it.
//!
//! ```text
//! in hand -> held -> stored, as it stands after the attempt
//!              \---> given back, when the lease is dropped
//! ```
//! Whoever holds a job is named in its message. That ends with the outcome, or with the holder's lease as a gateway: a process that
//! is gone is told from one that is slow as all gateways are, by silence, which does not count while NATS is away.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use samovar_model::{Fault, FunctionName, GatewayId, Job, JobId, JobState};

use super::change::{Base, Change, Committed};
use super::store::{Store, unavailable};
use super::stored::{Found, Held, Place, Stored, expire, kept};
use super::subjects::{Blob, Kind};
use crate::jobs::{Attempt, Chosen, JobLease, JobsError, StoredRequest, Taken};
use crate::nats::stream::PATIENCE;

/// When a job is due again here whose outcome could not be stored.
const AFTER_TROUBLE: Duration = Duration::from_secs(10);
/// The same where another gateway was faster: by then this one will have heard of it.
const AFTER_OTHERS: Duration = Duration::from_millis(500);
/// For how long it is tried to store an outcome. The job keeps its place meanwhile, and nobody else takes it for as long as all are
/// without NATS.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(600);

/// A job that is in hand, and put down when this is dropped.
pub(super) struct InHand {
    store: Arc<Store>,
    id: JobId,
    function: FunctionName,
    /// For how long it is left alone then.
    pause: Duration,
}

impl InHand {
    /// Of a job that the index has just given out.
    pub(super) fn new(store: &Arc<Store>, id: JobId, function: FunctionName) -> Self {
        Self { store: Arc::clone(store), id, function, pause: Duration::ZERO }
    }

    /// Takes the job, if nobody else has, and it is still to be run.
    async fn hold(mut self) -> Result<Option<Taken>, JobsError> {
        self.pause = AFTER_TROUBLE;
        let store = Arc::clone(&self.store);
        let Some(runner) = store.runner.clone() else { return Ok(None) };
        let seen = store.seen(Kind::Open, self.id).await.map_err(unavailable)?;
        let Some(found) = seen.found else {
            match seen.sequence {
                0 => store.index().forget(self.id),
                sequence => store.index().wrote(self.id, sequence, None),
            }
            return Ok(None);
        };
        let is_free = found.stored.held.as_ref().is_none_or(|held| store.index().is_lost(&held.owner));
        let Some((mut lease, job)) = (if is_free { self.write(found, runner).await? } else { None }) else {
            return Ok(None);
        };
        let (place, here) = (lease.found.stored.request, lease.found.request.clone());
        let whole = store.whole(Blob::Request, job.id, place, here).await.inspect_err(|_| lease.pause())?;
        match whole.and_then(|bytes| StoredRequest::decode(&bytes)) {
            Some(request) => Ok(Some(Taken { job, request, lease: Box::new(lease) })),
            None => {
                // It counts as an attempt, so that it is not looked for without end.
                tracing::error!(job = %job.id, function = %job.function, "a job's request is not there, or cannot be read");
                Box::new(lease).finish(Attempt::Failed(Fault::InvalidResponse)).await?;
                Ok(None)
            }
        }
    }

    /// Writes that this process has the job.
    async fn write(mut self, mut found: Found, owner: GatewayId) -> Result<Option<(Lease, Job)>, JobsError> {
        let since = Timestamp::now();
        let mut change = Change::of(found.job())?;
        let before = found.stored.clone();
        found.stored.held = Some(Held { owner, since });
        let headers = found.enter(&mut change)?;
        change.put_job(&self.store, headers, found.content()?);
        let committed = change.commit(&self.store, PATIENCE).await;
        let sequence = match committed.map_err(|error| unavailable(error.to_string()))? {
            Committed::Stored(Some(sequence)) => sequence,
            Committed::Stored(None) | Committed::Overtaken => {
                self.pause = AFTER_OTHERS;
                return Ok(None);
            }
        };
        found.sequence = sequence;
        found.tell(&self.store)?;
        self.pause = Duration::ZERO;
        let job = before.record.running(since);
        Ok(Some((Lease { in_hand: Some(self), found }, job)))
    }
}

#[async_trait]
impl Chosen for InHand {
    fn function(&self) -> &FunctionName {
        &self.function
    }

    async fn take(self: Box<Self>) -> Result<Option<Taken>, JobsError> {
        // Whoever waits may go away: then the lease is dropped as soon as there is one, and the job is given back.
        tokio::spawn(self.hold()).await.unwrap_or_else(|error| Err(unavailable(error)))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let not_before =
            (!self.pause.is_zero()).then(|| Timestamp::now().saturating_add(self.pause).unwrap_or(Timestamp::MAX));
        self.store.index().put_down(self.id, not_before);
        self.store.changed.notify_waiters();
    }
}

impl Found {
    /// The message that the next change replaces.
    pub(super) fn job(&self) -> Base {
        let (id, kind) = (self.stored.record.job.id, self.stored.kind());
        Base { kind, id, sequence: self.sequence, commit: self.stored.commits.last().map(str::to_owned) }
    }

    /// Names a change in the job; answers the headers of its message.
    pub(super) fn enter(&mut self, change: &mut Change) -> Result<HeaderMap, JobsError> {
        self.stored.commits.enter(&change.name);
        self.stored.headers().map(|(headers, _)| headers).map_err(unavailable)
    }

    pub(super) fn content(&self) -> Result<Bytes, JobsError> {
        self.stored.content(&self.request, &self.answer).map_err(unavailable)
    }

    /// Tells the index how the job stands.
    pub(super) fn tell(&self, store: &Store) -> Result<(), JobsError> {
        let (_, standing) = self.stored.headers().map_err(unavailable)?;
        store.index().wrote(self.stored.record.job.id, self.sequence, Some(standing));
        store.changed.notify_waiters();
        Ok(())
    }
}

/// The right to run a job; dropped, it gives the job back.
struct Lease {
    /// Absent once somebody else sees to it.
    in_hand: Option<InHand>,
    /// The job as it is stored.
    found: Found,
}

impl Lease {
    /// Leaves the job alone for a moment once it is given back.
    fn pause(&mut self) {
        if let Some(in_hand) = &mut self.in_hand {
            in_hand.pause = AFTER_TROUBLE;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(in_hand), Ok(runtime)) = (self.in_hand.take(), tokio::runtime::Handle::try_current()) else { return };
        let mut found = self.found.clone();
        runtime.spawn(async move {
            if let Err(error) = give_back(&in_hand.store, &mut found).await {
                tracing::debug!(job = %in_hand.id, %error, "a job is not given back: it is taken once this gateway has left");
            }
            drop(in_hand);
        });
    }
}

/// Writes that nobody has the job, which is as it was before it was taken.
async fn give_back(store: &Store, found: &mut Found) -> Result<(), JobsError> {
    let mut change = Change::of(found.job())?;
    found.stored.held = None;
    let headers = found.enter(&mut change)?;
    change.put_job(store, headers, found.content()?);
    if let Committed::Stored(Some(sequence)) = change.commit(store, PATIENCE).await? {
        found.sequence = sequence;
        found.tell(store)?;
    }
    Ok(())
}

#[async_trait]
impl JobLease for Lease {
    async fn finish(mut self: Box<Self>, attempt: Attempt) -> Result<JobState, JobsError> {
        let id = self.found.stored.record.job.id;
        let Some(mut in_hand) = self.in_hand.take() else { return Err(JobsError::NoJob(id)) };
        let store = Arc::clone(&in_hand.store);
        // What cannot be stored is not run again at once.
        in_hand.pause = AFTER_TROUBLE;
        let record = self.found.stored.record.clone().after(&attempt, Timestamp::now(), fastrand::f64());
        let state = record.job.state;
        let mut after = self.found.clone();
        (after.stored.record, after.stored.held) = (record, None);
        let mut change = Change::of(self.found.job())?;
        if state.is_final() {
            end(&store, &mut change, &mut after, attempt)?;
        } else {
            let headers = after.enter(&mut change)?;
            change.put_job(&store, headers, after.content()?);
        }
        match change.commit(&store, OUTCOME_PATIENCE).await? {
            Committed::Stored(sequence) => {
                in_hand.pause = Duration::ZERO;
                if let Some(sequence) = sequence {
                    after.sequence = sequence;
                    if state.is_final() {
                        store.index().wrote(id, sequence, None);
                        store.usage.ended(state);
                    } else {
                        after.tell(&store)?;
                    }
                }
                Ok(state)
            }
            Committed::Overtaken => {
                in_hand.pause = AFTER_OTHERS;
                let why = "it was given to another gateway, since this one was not heard for too long";
                Err(unavailable(format!("job {id}: {why}")))
            }
        }
    }
}

/// Adds to a change that the job comes to its end: it is not open any more, and kept for a while with its answer.
fn end(store: &Store, change: &mut Change, after: &mut Found, attempt: Attempt) -> Result<(), JobsError> {
    let Stored { record, request, .. } = &mut after.stored;
    let (id, state) = (record.job.id, record.job.state);
    change.remove_job(store);
    if state == JobState::Done {
        store.remove_parts(change, id, std::mem::take(request));
        record.request_bytes = 0;
        after.request = Bytes::new();
    }
    if let Attempt::Answered(answer) = attempt {
        let answer = Bytes::from(answer.encode());
        record.answer_bytes = answer.len() as u64;
        let mut headers = HeaderMap::new();
        if let Some(kept) = kept(state) {
            expire(&mut headers, kept);
        }
        (after.stored.answer, after.answer) = store.place(change, Blob::Answer, id, answer, &headers);
    } else {
        (after.stored.answer, after.answer) = (Place::Nowhere, Bytes::new());
    }
    let headers = after.enter(change)?;
    change.put(store.subjects.job(Kind::of(state), id), headers, after.content()?);
    Ok(())
}
