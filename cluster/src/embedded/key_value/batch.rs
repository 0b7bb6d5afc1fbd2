//! One write transaction: what callers ask for is decided against what is there, done, and noted for the log.

use bytes::Bytes;
use redb::{ReadableTable, StorageError, Table, TableError, WriteTransaction};
use samovar_model::{Bucket, BucketId};

use super::change::Change;
use super::state::State;
use super::tables::{BLOBS, BUCKETS, CLEARED, ENTRIES, EXPIRY, Record, Row, Value, key_of_entry, key_of_expiry};
use super::{Answer, Order};
use crate::KeyValueError;
use crate::key_value::{Swapped, Write};

/// Why an order was not carried out.
pub(super) enum Fault {
    /// It may not be; the batch goes on.
    Refused(KeyValueError),
    /// The tables cannot be read or written; the batch is over.
    Storage(redb::Error),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.into())
    }
}

/// What a key has: not its value, which may be long.
#[derive(Debug, Clone, Copy)]
struct Old {
    version: u64,
    expires: u64,
    blob: bool,
    len: usize,
}

/// The tables within a transaction.
pub(super) struct Batch<'txn, 'state> {
    entries: Table<'txn, &'static [u8], &'static [u8]>,
    blobs: Table<'txn, u64, &'static [u8]>,
    expiry: Table<'txn, &'static [u8], ()>,
    buckets: Table<'txn, &'static str, (u32, u64, u64)>,
    cleared: Table<'txn, u32, ()>,
    state: &'state mut State,
    /// By this clock values expire, in milliseconds since 1970.
    now: u64,
    sweeps_later: bool,
    scratch: Vec<u8>,
}

impl<'txn, 'state> Batch<'txn, 'state> {
    pub(super) fn begin(txn: &'txn WriteTransaction, state: &'state mut State, now: u64) -> Result<Self, TableError> {
        Ok(Self {
            entries: txn.open_table(ENTRIES)?,
            blobs: txn.open_table(BLOBS)?,
            expiry: txn.open_table(EXPIRY)?,
            buckets: txn.open_table(BUCKETS)?,
            cleared: txn.open_table(CLEARED)?,
            state,
            now,
            sweeps_later: false,
            scratch: Vec::new(),
        })
    }

    /// Carries out an order, and notes in `log` what it changed.
    pub(super) fn perform(&mut self, order: &Order, log: &mut Vec<u8>) -> Result<Answer, Fault> {
        match order {
            Order::Write(bucket, writes) => {
                for write in writes {
                    self.write(bucket, write, log)?;
                }
                Ok(Answer::Written)
            }
            Order::Swap { bucket, key, version, value } => {
                let number = self.number(&bucket.id, log)?;
                let old = self.old(number, key)?;
                let there = old.filter(|old| !self.expired(old)).map_or(0, |old| old.version);
                if there != *version {
                    return Ok(Answer::Swapped(Swapped::Outdated));
                }
                self.put(bucket, key, value, log)?;
                Ok(Answer::Swapped(Swapped::Done))
            }
            Order::Increment { bucket, key, by } => self.increment(bucket, key, *by, log).map(Answer::Counted),
            Order::Clear(id) => {
                if let Some(&number) = self.state.numbers.get(id) {
                    self.change(&Change::Clear { number }, log)?;
                }
                Ok(Answer::Written)
            }
            Order::Look => Ok(Answer::Written),
        }
    }

    fn write(&mut self, bucket: &Bucket, write: &Write, log: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(value) = &write.value else {
            let Some(&number) = self.state.numbers.get(&bucket.id) else { return Ok(()) };
            if self.old(number, &write.key)?.is_some() {
                self.change(&Change::Remove { number, key: &write.key }, log)?;
            }
            return Ok(());
        };
        self.put(bucket, &write.key, value, log)
    }

    fn increment(&mut self, bucket: &Bucket, key: &str, by: i64, log: &mut Vec<u8>) -> Result<i64, Fault> {
        let number = self.number(&bucket.id, log)?;
        let now = self.now;
        let row = Row::entry(number, key);
        let before = match self.entries.get(row.as_bytes())? {
            Some(found) => match Record::decode(found.value()).filter(|record| !record.expired(now)) {
                Some(Record { value: Value::Inline(text), .. }) => {
                    str::from_utf8(text).ok().and_then(|text| text.parse().ok())
                }
                Some(_) => None,
                None => Some(0),
            },
            None => Some(0),
        };
        let sum = before.and_then(|before: i64| before.checked_add(by));
        let refused = || KeyValueError::NotANumber { bucket: bucket.id.clone(), key: key.to_owned() };
        let sum = sum.ok_or_else(refused).map_err(Fault::Refused)?;
        self.put(bucket, key, &Bytes::from(sum.to_string()), log)?;
        Ok(sum)
    }

    /// Writes a value, if the bucket has room for it.
    fn put(&mut self, bucket: &Bucket, key: &str, value: &[u8], log: &mut Vec<u8>) -> Result<(), Fault> {
        let number = self.number(&bucket.id, log)?;
        let old = self.old(number, key)?;
        let size = |len: usize| (key.len() + len) as u64;
        let more = size(value.len()).saturating_sub(old.map_or(0, |old| size(old.len)));
        let limit = bucket.max_bytes.as_bytes();
        let mut used = self.used(number);
        if more > 0 && used.saturating_add(more) > limit {
            self.make_room(number, limit.saturating_sub(more), key)?;
            used = self.used(number);
            if used.saturating_add(more) > limit {
                return Err(Fault::Refused(KeyValueError::Full { bucket: bucket.id.clone(), used, limit, more }));
            }
        }
        let ttl = bucket.ttl.map(|ttl| u64::try_from(ttl.as_duration().as_millis()).unwrap_or(u64::MAX));
        let expires = ttl.map_or(0, |ttl| self.now.saturating_add(ttl));
        let version = self.state.version + 1;
        self.change(&Change::Set { number, key, version, expires, value }, log)
    }

    fn used(&self, number: u32) -> u64 {
        self.state.held.get(&number).map_or(0, |held| held.bytes)
    }

    /// The number of a bucket, which gets one if it has none.
    fn number(&mut self, id: &BucketId, log: &mut Vec<u8>) -> Result<u32, Fault> {
        if let Some(&number) = self.state.numbers.get(id) {
            return Ok(number);
        }
        let number = self.state.number + 1;
        self.change(&Change::Open { number, id: id.clone() }, log)?;
        Ok(number)
    }

    fn change(&mut self, change: &Change<'_>, log: &mut Vec<u8>) -> Result<(), Fault> {
        change.encode(log);
        Ok(self.apply(change)?)
    }

    /// Does what a change says: now, or read from the log later.
    pub(super) fn apply(&mut self, change: &Change<'_>) -> Result<(), StorageError> {
        match change {
            Change::Open { number, id } => self.state.open(*number, id.clone()),
            Change::Set { number, key, version, expires, value } => {
                self.remove(*number, key)?;
                let record = Record { version: *version, expires: *expires, value: Value::placed(value) };
                if let Value::Blob(_) = record.value {
                    self.blobs.insert(version, *value)?;
                }
                if *expires != 0 {
                    self.sweeps_later = true;
                    self.expiry.insert(Row::expiry(*number, *expires, key).as_bytes(), ())?;
                }
                record.encode(&mut self.scratch);
                self.entries.insert(Row::entry(*number, key).as_bytes(), self.scratch.as_slice())?;
                self.state.count(*number, 1, (key.len() + value.len()) as i64);
                self.state.version = self.state.version.max(*version);
            }
            Change::Remove { number, key } => drop(self.remove(*number, key)?),
            Change::Clear { number } => {
                if let Some(id) = self.state.close(*number) {
                    self.buckets.remove(id.to_string().as_str())?;
                    self.cleared.insert(number, ())?;
                    self.sweeps_later = true;
                }
            }
        }
        Ok(())
    }

    /// A batch of the log has been done.
    pub(super) fn applied(&mut self, sequence: u64) {
        self.state.applied = sequence;
    }

    /// Whether it left something that is to be swept at some time.
    pub(super) fn sweeps_later(&self) -> bool {
        self.sweeps_later
    }

    fn old(&self, number: u32, key: &str) -> Result<Option<Old>, StorageError> {
        let found = self.entries.get(Row::entry(number, key).as_bytes())?;
        found.map(|found| old(found.value())).transpose()
    }

    fn expired(&self, old: &Old) -> bool {
        old.expires != 0 && old.expires <= self.now
    }

    /// Takes a key out of every table.
    fn remove(&mut self, number: u32, key: &str) -> Result<Option<Old>, StorageError> {
        let row = Row::entry(number, key);
        let Some(old) = self.entries.remove(row.as_bytes())?.map(|found| old(found.value())).transpose()? else {
            return Ok(None);
        };
        if old.blob {
            self.blobs.remove(old.version)?;
        }
        if old.expires != 0 {
            self.expiry.remove(Row::expiry(number, old.expires, key).as_bytes())?;
        }
        self.state.count(number, -1, -((key.len() + old.len) as i64));
        Ok(Some(old))
    }

    /// Sweeps what has expired in a bucket until it holds no more than `goal`; but not `spare`, which is about to be written.
    fn make_room(&mut self, number: u32, goal: u64, spare: &str) -> Result<(), StorageError> {
        while self.used(number) > goal {
            let swept = self.sweep_bucket(number, 64, Some(spare))?;
            if swept == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Sweeps up to `most` expired entries, and entries of buckets that were cleared; answers how many.
    pub(super) fn sweep(&mut self, most: usize) -> Result<usize, StorageError> {
        let mut swept = 0;
        let numbers: Vec<u32> = self.state.held.keys().copied().collect();
        for number in numbers {
            if swept < most {
                swept += self.sweep_bucket(number, most - swept, None)?;
            }
        }
        while swept < most {
            let Some(number) = self.cleared.first()?.map(|(number, _)| number.value()) else { break };
            let gone = self.sweep_cleared(number, most - swept)?;
            if gone == 0 {
                self.cleared.remove(number)?;
            }
            swept += gone.max(1);
        }
        Ok(swept)
    }

    /// When the next entry expires, in milliseconds since 1970; 0 where something can be swept now.
    pub(super) fn next_sweep(&self) -> Result<Option<u64>, StorageError> {
        if self.cleared.first()?.is_some() {
            return Ok(Some(0));
        }
        let mut next = None;
        for &number in self.state.held.keys() {
            let first = self.expiry.range(Row::expiry(number, 0, "").as_bytes()..)?.next().transpose()?;
            let first = first.and_then(|(row, _)| key_of_expiry(row.value(), number).map(|(expires, _)| expires));
            next = [next, first].into_iter().flatten().min();
        }
        Ok(next)
    }

    fn sweep_bucket(&mut self, number: u32, most: usize, spare: Option<&str>) -> Result<usize, StorageError> {
        let mut keys = Vec::new();
        let end = Row::expiry(number, self.now.saturating_add(1), "");
        for row in self.expiry.range(Row::expiry(number, 0, "").as_bytes()..end.as_bytes())? {
            let (row, _) = row?;
            if let Some((_, key)) = key_of_expiry(row.value(), number).filter(|(_, key)| Some(*key) != spare) {
                keys.push(key.to_owned());
            }
            if keys.len() == most {
                break;
            }
        }
        for key in &keys {
            self.remove(number, key)?;
        }
        Ok(keys.len())
    }

    fn sweep_cleared(&mut self, number: u32, most: usize) -> Result<usize, StorageError> {
        let mut keys = Vec::new();
        for row in self.entries.range(Row::entry(number, "").as_bytes()..)?.take(most) {
            let (row, _) = row?;
            let Some(key) = key_of_entry(row.value(), number) else { break };
            keys.push(key.to_owned());
        }
        for key in &keys {
            self.remove(number, key)?;
        }
        Ok(keys.len())
    }
}

fn old(bytes: &[u8]) -> Result<Old, StorageError> {
    let record = Record::decode(bytes).ok_or_else(|| StorageError::Corrupted("an entry".to_owned()))?;
    let blob = matches!(record.value, Value::Blob(_));
    Ok(Old { version: record.version, expires: record.expires, blob, len: record.value.len() })
}
