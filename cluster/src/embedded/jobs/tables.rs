//! The tables of `jobs.redb`, and what reads them.
//!
//! ```text
//! jobs       id -> the record as JSON
//! requests   id -> what the function is asked; not there once the job is done
//! answers    id -> the last answer, once the job is done or dead
//! keys       (function, idempotency key) -> (id, fingerprint of the request, until when in ms)
//! finished   (when in ms, id) -> (): jobs that are done or dead
//! ticks      schedule -> (the last tick in ms, its job)
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition};
use redb::{Error, WriteTransaction};
use samovar_model::{Job, JobId};

use super::index::Index;
use crate::jobs::rules::Record;
use crate::jobs::{LastTick, Selection, StoredAnswer, StoredRequest};

type Key = (&'static str, &'static str);
/// A job, the fingerprint of its request, and until when the key stands for it.
type KeyValue = (u128, &'static [u8; 32], i64);

const JOBS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("jobs");
const REQUESTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("requests");
const ANSWERS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("answers");
const KEYS: TableDefinition<'_, Key, KeyValue> = TableDefinition::new("keys");
const FINISHED: TableDefinition<'_, (i64, u128), ()> = TableDefinition::new("finished");
const TICKS: TableDefinition<'_, &str, (i64, u128)> = TableDefinition::new("ticks");

/// The tables, within one transaction.
pub(super) struct Tables<'t> {
    pub(super) jobs: Table<'t, u128, &'static [u8]>,
    pub(super) requests: Table<'t, u128, &'static [u8]>,
    pub(super) answers: Table<'t, u128, &'static [u8]>,
    pub(super) keys: Table<'t, Key, KeyValue>,
    pub(super) finished: Table<'t, (i64, u128), ()>,
    pub(super) ticks: Table<'t, &'static str, (i64, u128)>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            jobs: write.open_table(JOBS)?,
            requests: write.open_table(REQUESTS)?,
            answers: write.open_table(ANSWERS)?,
            keys: write.open_table(KEYS)?,
            finished: write.open_table(FINISHED)?,
            ticks: write.open_table(TICKS)?,
        })
    }

    pub(super) fn job(&self, id: JobId) -> Result<Option<Record>, Error> {
        self.jobs.get(id.number())?.map(|json| record(json.value())).transpose()
    }

    pub(super) fn put(&mut self, record: &Record) -> Result<(), Error> {
        let json = serde_json::to_vec(record).map_err(|error| Error::Corrupted(error.to_string()))?;
        self.jobs.insert(record.job.id.number(), json.as_slice())?;
        Ok(())
    }

    /// Removes a job with all that belongs to it.
    pub(super) fn remove(&mut self, record: &Record) -> Result<(), Error> {
        let (job, id) = (&record.job, record.job.id.number());
        self.jobs.remove(id)?;
        self.requests.remove(id)?;
        self.answers.remove(id)?;
        if let Some(finished) = job.finished {
            self.finished.remove((finished.as_millisecond(), id))?;
        }
        if let Some(key) = &record.key {
            let key = (job.function.as_str(), key.as_str());
            // It may stand for a later job by now.
            let is_ours = self.keys.get(key)?.is_some_and(|known| known.value().0 == id);
            if is_ours {
                self.keys.remove(key)?;
            }
        }
        Ok(())
    }
}

fn record(json: &[u8]) -> Result<Record, Error> {
    serde_json::from_slice(json).map_err(|error| Error::Corrupted(format!("a job: {error}")))
}

/// Reads everything, making the tables at the first start so that reading never meets a missing one.
pub(super) fn load(database: &Database) -> Result<Index, Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    drop(Tables::open(&write)?);
    write.commit()?;
    let mut index = Index::default();
    for entry in database.begin_read()?.open_table(JOBS)?.iter()? {
        index.add(&record(entry?.1.value())?);
    }
    Ok(index)
}

pub(super) fn job(read: &ReadTransaction, id: JobId) -> Result<Option<Record>, Error> {
    read.open_table(JOBS)?.get(id.number())?.map(|json| record(json.value())).transpose()
}

pub(super) fn job_and_request(read: &ReadTransaction, id: JobId) -> Result<Option<(Record, StoredRequest)>, Error> {
    let Some(record) = job(read, id)? else { return Ok(None) };
    let Some(stored) = read.open_table(REQUESTS)?.get(id.number())? else { return Ok(None) };
    let request = StoredRequest::decode(stored.value());
    let request = request.ok_or_else(|| Error::Corrupted(format!("job {id}: its request cannot be read")))?;
    Ok(Some((record, request)))
}

pub(super) fn answer(read: &ReadTransaction, id: JobId) -> Result<Option<StoredAnswer>, Error> {
    let stored = read.open_table(ANSWERS)?.get(id.number())?;
    Ok(stored.and_then(|stored| StoredAnswer::decode(stored.value())))
}

/// Looks at every job: those that are wanted, newest first.
pub(super) fn list(
    read: &ReadTransaction,
    limit: usize,
    which: &Selection,
    shown: impl Fn(Record) -> Job,
) -> Result<Vec<Job>, Error> {
    let mut found = Vec::new();
    for entry in read.open_table(JOBS)?.iter()? {
        let job = shown(record(entry?.1.value())?);
        if which.includes(&job) {
            found.push(job);
        }
        // Twice as many at most are held at once.
        if found.len() >= limit.saturating_mul(2).max(64) {
            newest(&mut found, limit);
        }
    }
    newest(&mut found, limit);
    Ok(found)
}

fn newest(jobs: &mut Vec<Job>, limit: usize) {
    jobs.sort_by_key(|job| (std::cmp::Reverse(job.created), job.id));
    jobs.truncate(limit);
}

pub(super) fn last_ticks(read: &ReadTransaction) -> Result<BTreeMap<String, LastTick>, Error> {
    let mut ticks = BTreeMap::new();
    for entry in read.open_table(TICKS)?.iter()? {
        let (schedule, last) = entry?;
        let (at, job) = last.value();
        let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
        ticks.insert(schedule.value().to_owned(), LastTick { at, job: JobId::from_number(job) });
    }
    Ok(ticks)
}
