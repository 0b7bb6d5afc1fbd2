//! A key-value store that forgets everything, and that can be told to keep its callers waiting.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use samovar_cluster::key_value::{BucketUsage, Entry, KeyValue, KeyValueError, Page, Range, Swapped, Write};
use samovar_model::{Bucket, BucketId};
use tokio::sync::Semaphore;

pub(crate) struct InMemory {
    entries: Mutex<BTreeMap<(String, String), Entry>>,
    versions: AtomicU64,
    /// Every call takes one of these, if there is one.
    gate: Semaphore,
    /// Calls that have begun.
    pub(crate) calls: AtomicU64,
    /// Whether it cannot be reached.
    pub(crate) is_away: AtomicBool,
    /// The most bytes that one read has given back.
    pub(crate) largest_read: AtomicU64,
}

impl InMemory {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            versions: AtomicU64::new(1),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            calls: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            largest_read: AtomicU64::new(0),
        }
    }

    /// Lets no call through any more.
    pub(crate) fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets every call through again.
    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    async fn entries(&self) -> Result<MutexGuard<'_, BTreeMap<(String, String), Entry>>, KeyValueError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await.expect("it is never closed for good"));
        if self.is_away.load(Ordering::SeqCst) {
            return Err(KeyValueError::Unavailable("nobody answers".to_owned()));
        }
        Ok(self.entries.lock().expect("no test crashes inside"))
    }

    fn entry(&self, value: Bytes) -> Entry {
        Entry { value, version: self.versions.fetch_add(1, Ordering::Relaxed), expires: None }
    }
}

fn place(bucket: &Bucket, key: &str) -> (String, String) {
    (bucket.id.to_string(), key.to_owned())
}

#[async_trait]
impl KeyValue for InMemory {
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KeyValueError> {
        Ok(self.entries().await?.get(&place(bucket, key)).cloned())
    }

    async fn get_many(&self, bucket: &Bucket, keys: &[String]) -> Result<Vec<Option<Entry>>, KeyValueError> {
        let entries = self.entries().await?;
        let found: Vec<_> = keys.iter().map(|key| entries.get(&place(bucket, key)).cloned()).collect();
        let bytes = found.iter().flatten().map(|entry| entry.value.len() as u64).sum();
        self.largest_read.fetch_max(bytes, Ordering::Relaxed);
        Ok(found)
    }

    async fn write(&self, bucket: &Bucket, writes: Vec<Write>) -> Result<(), KeyValueError> {
        let mut entries = self.entries().await?;
        for Write { key, value } in writes {
            match value {
                Some(value) => entries.insert(place(bucket, &key), self.entry(value)),
                None => entries.remove(&place(bucket, &key)),
            };
        }
        Ok(())
    }

    async fn swap(&self, bucket: &Bucket, key: &str, version: u64, value: Bytes) -> Result<Swapped, KeyValueError> {
        let mut entries = self.entries().await?;
        if entries.get(&place(bucket, key)).map_or(0, |entry| entry.version) != version {
            return Ok(Swapped::Outdated);
        }
        entries.insert(place(bucket, key), self.entry(value));
        Ok(Swapped::Done)
    }

    async fn increment(&self, bucket: &Bucket, key: &str, by: i64) -> Result<i64, KeyValueError> {
        let mut entries = self.entries().await?;
        let not_a_number = || KeyValueError::NotANumber { bucket: bucket.id.clone(), key: key.to_owned() };
        let now = match entries.get(&place(bucket, key)) {
            None => 0,
            Some(entry) => {
                let text = std::str::from_utf8(&entry.value).ok();
                text.and_then(|text| text.parse::<i64>().ok()).ok_or_else(not_a_number)?
            }
        };
        let sum = now.checked_add(by).ok_or_else(not_a_number)?;
        entries.insert(place(bucket, key), self.entry(sum.to_string().into()));
        Ok(sum)
    }

    async fn list(&self, bucket: &Bucket, range: Range) -> Result<Page, KeyValueError> {
        let entries = self.entries().await?;
        let id = bucket.id.to_string();
        let behind = |key: &&String| range.after.as_ref().is_none_or(|after| *key > after);
        let keys = entries.keys().filter(|(bucket, _)| *bucket == id).map(|(_, key)| key);
        let mut keys = keys.filter(|key| key.starts_with(&range.prefix)).filter(behind).cloned();
        let page: Vec<String> = keys.by_ref().take(range.limit).collect();
        Ok(Page { keys: page, more: keys.next().is_some() })
    }

    async fn buckets(&self) -> Result<Vec<BucketUsage>, KeyValueError> {
        Ok(Vec::new())
    }

    async fn clear(&self, bucket: &BucketId) -> Result<(), KeyValueError> {
        let id = bucket.to_string();
        self.entries().await?.retain(|(bucket, _), _| *bucket != id);
        Ok(())
    }
}
