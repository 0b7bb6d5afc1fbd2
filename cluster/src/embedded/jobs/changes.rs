//! What is written: a new job, the outcome of an attempt, a retry, a purge. Each decides within its transaction, and brings the
//! index up to date once that is on disk.

use std::sync::Arc;

use jiff::Timestamp;
use redb::{Error, ReadableTable};
use rustix::rand::{GetRandomFlags, getrandom};
use samovar_model::{JobId, JobState};
use tokio::sync::oneshot;

use super::tables::Tables;
use super::writer::Change;
use super::{Lease, Store};
use crate::jobs::rules::Record;
use crate::jobs::{DONE_KEPT, JobsError, NewJob, Selection, Submitted};

/// How many jobs one commit forgets.
pub(super) const PURGED_AT_ONCE: u64 = 2_000;

/// Whoever waits for a change.
struct Reply<T>(oneshot::Sender<Result<T, JobsError>>);

impl<T> Reply<T> {
    fn new() -> (Self, oneshot::Receiver<Result<T, JobsError>>) {
        let (sender, told) = oneshot::channel();
        (Self(sender), told)
    }

    fn tell(self, outcome: Result<T, JobsError>) {
        // Whoever has gone away does not want to know.
        drop(self.0.send(outcome));
    }
}

/// Told of a change: what it came to.
type Told<T> = oneshot::Receiver<Result<T, JobsError>>;

/// Bytes that are set aside for a job that is not counted yet.
struct Reserved {
    store: Arc<Store>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.store.index().free(self.bytes);
    }
}

/// A new job.
pub(super) struct Submit {
    reserved: Reserved,
    new: NewJob,
    record: Record,
    request: Vec<u8>,
    outcome: Result<Submitted, JobsError>,
    reply: Reply<Submitted>,
}

impl Submit {
    /// Sets aside what the job takes.
    pub(super) fn new(store: &Arc<Store>, new: NewJob) -> Result<(Self, Told<Submitted>), JobsError> {
        let id = random_id().ok_or_else(|| JobsError::Unavailable("the system gives no random numbers".to_owned()))?;
        let request = new.request.encode();
        // Ticks are small and few, and nobody would send one again.
        let (more, limit) = (request.len() as u64, if new.tick.is_none() { store.max_bytes } else { u64::MAX });
        store.index().reserve(more, limit).map_err(|used| JobsError::Full { used, limit, more })?;
        let reserved = Reserved { store: Arc::clone(store), bytes: more };
        let record = Record { request_bytes: more, ..Record::new(id, &new, Timestamp::now()) };
        let (reply, told) = Reply::new();
        let outcome = Ok(Submitted::New(id));
        Ok((Self { reserved, new, record, request, outcome, reply }, told))
    }

    /// What was stored under the same key or for the same tick, if something was.
    fn known(&self, tables: &Tables<'_>) -> Result<Option<Result<Submitted, JobsError>>, Error> {
        if let Some(tick) = &self.new.tick
            && let Some(last) = tables.ticks.get(tick.schedule.to_string().as_str())?
            && last.value().0 >= tick.at.as_millisecond()
        {
            return Ok(Some(Ok(Submitted::Known(JobId::from_number(last.value().1)))));
        }
        let Some(key) = &self.new.key else { return Ok(None) };
        let known = tables.keys.get((self.new.function.as_str(), key.key.as_str()))?;
        let Some(known) = known else { return Ok(None) };
        let (id, fingerprint, until) = known.value();
        let id = JobId::from_number(id);
        if until <= self.record.since.as_millisecond() || tables.job(id)?.is_none() {
            return Ok(None);
        }
        let same = *fingerprint == key.fingerprint;
        Ok(Some(if same { Ok(Submitted::Known(id)) } else { Err(JobsError::KeyTaken(id)) }))
    }
}

/// 128 bits that nobody can guess.
fn random_id() -> Option<JobId> {
    let mut bytes = [0; 16];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).ok()?;
    (filled == bytes.len()).then(|| JobId::from_number(u128::from_be_bytes(bytes)))
}

impl Change for Submit {
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), Error> {
        if let Some(known) = self.known(tables)? {
            self.outcome = known;
            return Ok(());
        }
        let id = self.record.job.id.number();
        tables.put(&self.record)?;
        tables.requests.insert(id, self.request.as_slice())?;
        if let Some(key) = &self.new.key {
            let until = (self.record.since + DONE_KEPT).as_millisecond();
            tables.keys.insert((self.new.function.as_str(), key.key.as_str()), (id, &key.fingerprint, until))?;
        }
        if let Some(tick) = &self.new.tick {
            tables.ticks.insert(tick.schedule.to_string().as_str(), (tick.at.as_millisecond(), id))?;
        }
        Ok(())
    }

    fn told(self: Box<Self>, committed: Result<(), JobsError>) {
        let outcome = committed.and(self.outcome);
        if let Ok(Submitted::New(_)) = &outcome {
            self.reserved.store.index().add(&self.record);
            self.reserved.store.changed.notify_one();
        }
        // What was set aside is counted with the job from now on, or not needed.
        drop(self.reserved);
        self.reply.tell(outcome);
    }
}

/// The outcome of an attempt.
pub(super) struct Finish {
    record: Record,
    answer: Option<Vec<u8>>,
    lease: Box<Lease>,
    reply: Reply<JobState>,
    /// What the job's request and answer took before.
    before_bytes: u64,
}

impl Finish {
    /// The job after the attempt, with the answer that is to be kept.
    pub(super) fn new(mut record: Record, answer: Option<Vec<u8>>, lease: Box<Lease>) -> (Self, Told<JobState>) {
        let before_bytes = record.request_bytes + record.answer_bytes;
        record.answer_bytes = answer.as_ref().map_or(0, Vec::len) as u64;
        if record.job.state == JobState::Done {
            record.request_bytes = 0;
        }
        let (reply, told) = Reply::new();
        (Self { record, answer, lease, reply, before_bytes }, told)
    }
}

impl Change for Finish {
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), Error> {
        let (job, id) = (&self.record.job, self.record.job.id.number());
        tables.put(&self.record)?;
        match &self.answer {
            Some(answer) => drop(tables.answers.insert(id, answer.as_slice())?),
            None => drop(tables.answers.remove(id)?),
        }
        if job.state == JobState::Done {
            tables.requests.remove(id)?;
        }
        if let Some(finished) = job.finished {
            tables.finished.insert((finished.as_millisecond(), id), ())?;
        }
        Ok(())
    }

    fn told(mut self: Box<Self>, committed: Result<(), JobsError>) {
        if committed.is_ok() {
            let mut index = self.lease.store.index();
            index.forget_running(self.record.job.id);
            index.free(self.before_bytes);
            index.add(&self.record);
            drop(index);
            self.lease.due = None;
            self.lease.store.changed.notify_one();
        }
        // Otherwise the lease gives the job back when it is dropped.
        drop(self.lease);
        self.reply.tell(committed.map(|()| self.record.job.state));
    }
}

/// A job that is made due by hand.
pub(super) struct Retry {
    store: Arc<Store>,
    id: JobId,
    /// Before and after.
    records: Option<(Record, Record)>,
    outcome: Result<(), JobsError>,
    reply: Reply<()>,
}

impl Retry {
    pub(super) fn new(store: &Arc<Store>, id: JobId) -> (Self, Told<()>) {
        let (reply, told) = Reply::new();
        (Self { store: Arc::clone(store), id, records: None, outcome: Ok(()), reply }, told)
    }
}

impl Change for Retry {
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), Error> {
        let Some(before) = tables.job(self.id)? else {
            self.outcome = Err(JobsError::NoJob(self.id));
            return Ok(());
        };
        let id = self.id;
        let Some(after) = before.clone().retried(Timestamp::now()) else {
            // That it is running is known in memory alone.
            let is_running = self.store.index().running(id).is_some();
            let state = if is_running { JobState::Running } else { before.job.state };
            self.outcome = Err(JobsError::NotToRetry { id, state });
            return Ok(());
        };
        // From here on nobody takes it, until it is known how it stands.
        if !self.store.index().remove(&before) {
            self.outcome = Err(JobsError::NotToRetry { id, state: JobState::Running });
            return Ok(());
        }
        let finished = before.job.finished;
        let (_, after) = self.records.insert((before, after));
        tables.put(after)?;
        if let Some(finished) = finished {
            tables.finished.remove((finished.as_millisecond(), id.number()))?;
        }
        Ok(())
    }

    fn told(self: Box<Self>, committed: Result<(), JobsError>) {
        if let Some((before, after)) = &self.records {
            self.store.index().add(if committed.is_ok() { after } else { before });
            self.store.changed.notify_one();
        }
        // Whoever hears of it may want to close the store.
        drop(self.store);
        self.reply.tell(committed.and(self.outcome));
    }
}

/// Jobs that are forgotten.
pub(super) struct Purge {
    store: Arc<Store>,
    which: Selection,
    before: Timestamp,
    gone: Vec<Record>,
    reply: Reply<u64>,
}

impl Purge {
    pub(super) fn new(store: &Arc<Store>, which: Selection, before: Timestamp) -> (Self, Told<u64>) {
        let (reply, told) = Reply::new();
        (Self { store: Arc::clone(store), which, before, gone: Vec::new(), reply }, told)
    }
}

impl Change for Purge {
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), Error> {
        for entry in tables.finished.range(..(self.before.as_millisecond(), 0))? {
            let id = JobId::from_number(entry?.0.value().1);
            let Some(record) = tables.job(id)? else { continue };
            if self.which.includes(&record.job) {
                self.gone.push(record);
            }
            if self.gone.len() as u64 == PURGED_AT_ONCE {
                break;
            }
        }
        self.gone.iter().try_for_each(|record| tables.remove(record))
    }

    fn told(self: Box<Self>, committed: Result<(), JobsError>) {
        if committed.is_ok() {
            let mut index = self.store.index();
            for record in &self.gone {
                index.remove(record);
            }
        }
        drop(self.store);
        self.reply.tell(committed.map(|()| self.gone.len() as u64));
    }
}
