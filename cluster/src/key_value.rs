//! What functions keep: values by key, in buckets.
//!
//! Keys are ordered by their bytes. A value is there from the moment its write is acknowledged until it is deleted, or as old as
//! the time to live that its bucket had when it was last written: a bucket's rules come with each call, and another time to live
//! holds for what is written from then on. Callers keep to [`MAX_KEY_BYTES`](samovar_model::MAX_KEY_BYTES) and
//! [`MAX_VALUE_BYTES`](samovar_model::MAX_VALUE_BYTES): [`check`] says so in the words that a guest's author reads.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use samovar_model::{Bucket, BucketId, MAX_KEY_BYTES, MAX_VALUE_BYTES};

/// A value as it was read, with what a later [`KeyValue::swap`] must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Changes with every write of the key, a delete included, and is never used again for the key; never 0, which stands for
    /// "not there".
    pub version: u64,
    /// When the value goes, by the store's clock; none where it is kept for ever.
    pub expires: Option<SystemTime>,
}

/// One write of a batch: a value, or none to delete the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// The value; none deletes the key, which need not be there.
    pub value: Option<Bytes>,
}

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<String>,
    /// The most keys to answer; at least 1.
    pub limit: usize,
}

/// Part of a bucket's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in order.
    pub keys: Vec<String>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// How a swap went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// The value is written.
    Done,
    /// Somebody else has written the key since it was read; nothing has changed.
    Outdated,
}

/// How much a bucket holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUsage {
    /// Which one.
    pub id: BucketId,
    /// Its keys, those included that are past their time and not yet swept.
    pub keys: u64,
    /// Keys and values together.
    pub bytes: u64,
}

/// Why something could not be done. Nothing has changed, except after [`KeyValueError::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// A key or a value is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// The bucket would hold more than it may.
    #[error(
        "bucket `{bucket}`: full ({used} of {limit} bytes used, {more} more wanted): delete something, or raise `max_bytes`"
    )]
    Full {
        /// Which one.
        bucket: BucketId,
        /// What it holds.
        used: u64,
        /// What it may hold.
        limit: u64,
        /// What the write adds.
        more: u64,
    },
    /// The value is not a counter's.
    #[error("bucket `{bucket}`: the value of `{key}` is not a whole number of 64 bits that can be counted on")]
    NotANumber {
        /// Which one.
        bucket: BucketId,
        /// The key.
        key: String,
    },
    /// The store cannot be reached or written: try again later.
    #[error("the key-value store is not available: {0}")]
    Unavailable(String),
    /// It cannot be told whether the write happened.
    #[error("it is not known whether the key-value store has stored the write: {0}")]
    Unknown(String),
}

/// A store of values. A bucket need not be made: it is there when something is in it.
#[async_trait]
pub trait KeyValue: Send + Sync + 'static {
    /// The value of a key.
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KeyValueError>;

    /// The values of several keys, in their order.
    async fn get_many(&self, bucket: &Bucket, keys: &[String]) -> Result<Vec<Option<Entry>>, KeyValueError> {
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            entries.push(self.get(bucket, key).await?);
        }
        Ok(entries)
    }

    /// Writes, in their order. Several are not one transaction: where it fails, some may have been done.
    async fn write(&self, bucket: &Bucket, writes: Vec<Write>) -> Result<(), KeyValueError>;

    /// Writes a value if the key's version is still `version`; 0 where it must not be there.
    async fn swap(&self, bucket: &Bucket, key: &str, version: u64, value: Bytes) -> Result<Swapped, KeyValueError>;

    /// Adds to a counter, which begins at 0, and answers what it is then. A counter is kept as decimal text, so that it can be
    /// read and set like any value.
    ///
    /// # Errors
    /// [`KeyValueError::NotANumber`] where the value is no such text, or would leave 64 bits.
    async fn increment(&self, bucket: &Bucket, key: &str, by: i64) -> Result<i64, KeyValueError>;

    /// Keys in order; none that is past its time. What is written meanwhile may be in it or not; what is not touched is in it once.
    async fn list(&self, bucket: &Bucket, range: Range) -> Result<Page, KeyValueError>;

    /// The buckets that hold something, in order.
    async fn buckets(&self) -> Result<Vec<BucketUsage>, KeyValueError>;

    /// Deletes all that a bucket holds. What is written to it meanwhile may be deleted too.
    async fn clear(&self, bucket: &BucketId) -> Result<(), KeyValueError>;
}

/// Whether a key, and a value for it, can be kept.
///
/// # Errors
/// [`KeyValueError::Invalid`], which says what is wrong.
pub fn check(key: &str, value: Option<&Bytes>) -> Result<(), KeyValueError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let reason = format!("a key of {} bytes: it must have 1 to {MAX_KEY_BYTES}", key.len());
        return Err(KeyValueError::Invalid(reason));
    }
    match value {
        Some(value) if value.len() > MAX_VALUE_BYTES => {
            let reason = format!("key `{key}`: a value of {} bytes, {MAX_VALUE_BYTES} at most", value.len());
            Err(KeyValueError::Invalid(reason))
        }
        _ => Ok(()),
    }
}
