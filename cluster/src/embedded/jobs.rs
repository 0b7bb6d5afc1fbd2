//! Jobs in redb, in a file of their own. One thread writes, and commits what has come together (`writer`); what is due, and what is
//! running, is known in memory alone (`index`) and read again at the start: a lease ends with its process.

mod changes;
mod index;
mod tables;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{Database, ReadableDatabase};
use samovar_model::{FunctionName, Job, JobId, JobState};
use tokio::sync::{Notify, oneshot};

use super::DataDir;
use crate::durable::sync_dir;
use crate::jobs::rules::Record;
use crate::jobs::{
    Attempt, Chosen, DEAD_KEPT, DONE_KEPT, JobCounts, JobLease, Jobs, JobsError, LastTick, NewJob, Selection,
    StoredAnswer, Submitted, Taken,
};
use changes::{Finish, Purge, Retry, Submit};
use index::{Index, Next};
use writer::{Change, Writer};

/// What the database keeps in memory.
const CACHE_BYTES: usize = 16 << 20;
/// How long it is waited at most before the clock is looked at again: it may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// When a job is due again whose outcome could not be stored.
const AFTER_TROUBLE: Duration = Duration::from_secs(10);

/// The jobs of one process.
pub struct EmbeddedJobs {
    store: Arc<Store>,
}

struct Store {
    database: Arc<Database>,
    writer: Writer,
    index: Mutex<Index>,
    /// Told when something may have become due.
    changed: Notify,
    max_bytes: u64,
    /// Keeps the directory locked while the database is open.
    _dir: DataDir,
}

impl EmbeddedJobs {
    /// Opens the data directory's jobs, or begins without any. What was running when the last process ended is due. Requests and
    /// answers may take `max_bytes` together. Blocks on the disk.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`] when the database cannot be opened or read.
    pub fn open(dir: &DataDir, max_bytes: u64) -> Result<Self, JobsError> {
        let file = dir.jobs();
        let failed = |error: &dyn std::fmt::Display| JobsError::Unavailable(format!("{}: {error}", file.display()));
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = Arc::new(builder.create(&file).map_err(|error| failed(&error))?);
        sync_dir(dir.path()).map_err(|error| failed(&error))?;
        let index = tables::load(&database).map_err(|error| failed(&error))?;
        let writer = Writer::spawn(Arc::clone(&database)).map_err(|error| failed(&error))?;
        let (index, changed) = (Mutex::new(index), Notify::new());
        Ok(Self { store: Arc::new(Store { database, writer, index, changed, max_bytes, _dir: dir.clone() }) })
    }
}

impl Store {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a change committed. It is, even if the caller goes away.
    async fn write<C: Change, T>(
        &self,
        change: C,
        told: oneshot::Receiver<Result<T, JobsError>>,
    ) -> Result<T, JobsError> {
        self.writer.send(Box::new(change)).await?;
        told.await.unwrap_or_else(|_| Err(JobsError::Unknown("the writer has stopped".to_owned())))
    }

    /// Reads where that may block.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store, &redb::ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, JobsError> {
        let store = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || read(&store, &store.database.begin_read()?));
        let read = reading.await.map_err(|error| JobsError::Unavailable(error.to_string()))?;
        read.map_err(|error| JobsError::Unavailable(error.to_string()))
    }

    /// A job as it stands, with what is known in memory.
    fn shown(&self, record: Record) -> Job {
        match self.index().running(record.job.id) {
            Some(started) => record.running(started),
            None => record.job,
        }
    }

    /// Waits for a job that is due, and marks it as running.
    async fn lease(&self, full: &BTreeSet<FunctionName>) -> (FunctionName, JobId) {
        loop {
            let changed = self.changed.notified();
            let next = self.index().lease(Timestamp::now(), full);
            let sleep = match next {
                Next::Leased(function, id) => return (function, id),
                Next::At(at) => Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default(),
                Next::Nothing => LONGEST_SLEEP,
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// Makes a job due that was running.
    fn give_back(&self, function: &FunctionName, id: JobId, due: Timestamp) {
        self.index().give_back(function, id, due);
        self.changed.notify_one();
    }
}

/// The right to run a job; dropped, it makes the job due again.
struct Lease {
    store: Arc<Store>,
    function: FunctionName,
    id: JobId,
    /// When it is due if it is given back now; none once somebody else sees to it.
    due: Option<Timestamp>,
    record: Option<Record>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(due) = self.due {
            self.store.give_back(&self.function, self.id, due);
        }
    }
}

#[async_trait]
impl Chosen for Lease {
    fn function(&self) -> &FunctionName {
        &self.function
    }

    async fn take(mut self: Box<Self>) -> Result<Option<Taken>, JobsError> {
        let (id, now) = (self.id, Timestamp::now());
        self.due = Some(now + AFTER_TROUBLE);
        let found = self.store.read(move |_, read| tables::job_and_request(read, id)).await?;
        let Some((record, request)) = found else {
            // Purged while it waited; there is nothing to be given back.
            self.due = None;
            self.store.index().forget_running(id);
            return Ok(None);
        };
        // Nobody is in the way any more who might break off.
        self.due = Some(now);
        let job = record.running(now);
        self.record = Some(record);
        Ok(Some(Taken { job, request, lease: self }))
    }
}

#[async_trait]
impl JobLease for Lease {
    async fn finish(mut self: Box<Self>, attempt: Attempt) -> Result<JobState, JobsError> {
        let Some(record) = self.record.take() else { return Err(JobsError::NoJob(self.id)) };
        let now = Timestamp::now();
        let record = record.after(&attempt, now, fastrand::f64());
        let answer = match attempt {
            Attempt::Answered(answer) if record.job.state.is_final() => Some(answer.encode()),
            _ => None,
        };
        // What cannot be stored is not run again at once: the disk may be full for a while.
        self.due = Some(now + AFTER_TROUBLE);
        let store = Arc::clone(&self.store);
        let (change, told) = Finish::new(record, answer, self);
        store.write(change, told).await
    }
}

#[async_trait]
impl Jobs for EmbeddedJobs {
    async fn submit(&self, job: NewJob) -> Result<Submitted, JobsError> {
        let (change, told) = Submit::new(&self.store, job)?;
        self.store.write(change, told).await
    }

    async fn choose(&self, full: &BTreeSet<FunctionName>) -> Box<dyn Chosen> {
        let (function, id) = self.store.lease(full).await;
        let store = Arc::clone(&self.store);
        Box::new(Lease { store, function, id, due: Some(Timestamp::now()), record: None })
    }

    async fn show(&self, id: JobId) -> Result<Option<Job>, JobsError> {
        let record = self.store.read(move |_, read| tables::job(read, id)).await?;
        Ok(record.map(|record| self.store.shown(record)))
    }

    async fn answer(&self, id: JobId) -> Result<Option<StoredAnswer>, JobsError> {
        self.store.read(move |_, read| tables::answer(read, id)).await
    }

    async fn list(&self, which: &Selection, limit: usize) -> Result<Vec<Job>, JobsError> {
        let which = which.clone();
        self.store.read(move |store, read| tables::list(read, limit, &which, |record| store.shown(record))).await
    }

    async fn retry(&self, id: JobId) -> Result<(), JobsError> {
        let (change, told) = Retry::new(&self.store, id);
        self.store.write(change, told).await
    }

    async fn purge(&self, which: &Selection, before: Timestamp) -> Result<u64, JobsError> {
        let mut purged = 0;
        loop {
            let (change, told) = Purge::new(&self.store, which.clone(), before);
            let some = self.store.write(change, told).await?;
            purged += some;
            if some < changes::PURGED_AT_ONCE {
                return Ok(purged);
            }
        }
    }

    async fn sweep(&self) -> Result<(), JobsError> {
        for (state, kept) in [(JobState::Done, DONE_KEPT), (JobState::Dead, DEAD_KEPT)] {
            let which = Selection { state: Some(state), function: None };
            self.purge(&which, Timestamp::now() - kept).await?;
        }
        Ok(())
    }

    async fn last_ticks(&self) -> Result<BTreeMap<String, LastTick>, JobsError> {
        self.store.read(|_, read| tables::last_ticks(read)).await
    }

    fn counts(&self) -> JobCounts {
        self.store.index().counts()
    }
}

#[cfg(test)]
mod tests;
