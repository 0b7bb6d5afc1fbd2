//! [`KeyValue`] in NATS: what functions keep, in one stream for all buckets.
//!
//! A stream for each bucket would leave the limits to the server, and was tried: the server sets the bytes of a stream's limit
//! aside, used or not (570 empty buckets of 64 MiB filled a disk of 36 GiB), and 570 streams of three replicas kept each server
//! at 7 % of a core with nothing to do. One stream takes any number of buckets, is backed up as one, and can store several
//! writes at once in an atomic batch.
//!
//! - `subjects.rs`: where everything is; `value.rs`: a key's message; `ledger.rs`: a bucket's
//! - `store.rs`: what is asked of the stream
//! - `writer.rs`: who waits for a write; `attempt.rs`: a round of writes, which `round.rs` decides and `commit.rs` stores
//! - `scan.rs`, `listings.rs`: a bucket's keys; `clear.rs`, `sweep.rs`: deleting many

mod attempt;
mod clear;
mod commit;
mod ledger;
mod listings;
mod round;
mod scan;
mod store;
mod subjects;
mod sweep;
mod value;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use samovar_model::{Bucket, BucketId};

use self::listings::Listings;
use self::round::{Answer, Change};
use self::store::{Store, unavailable};
use self::value::now;
use self::writer::Writers;
use super::Nats;
use crate::key_value::{BucketUsage, Entry, KeyValue, KeyValueError, Page, Range, Swapped, Write};

/// What one change of several writes may come to, so that others get their turn.
const WRITES_AT_ONCE: usize = 200;
const BYTES_AT_ONCE: usize = 4 << 20;
/// How many questions are open at once when many are asked.
const AT_ONCE: usize = 32;
/// How often a value is read again whose second half was replaced meanwhile.
const ATTEMPTS: usize = 20;

/// What functions keep, in NATS.
pub struct NatsKeyValue {
    store: Store,
    writers: Arc<Writers>,
    listings: Listings,
}

impl NatsKeyValue {
    /// The cluster's store, through this connection. Now and then it removes what is past its time, until it is dropped.
    pub fn open(nats: &Nats) -> Self {
        let (store, writers) = (Store::new(nats), Arc::new(Writers::default()));
        tokio::spawn(sweep::sweep(store.clone(), Arc::downgrade(&writers)));
        Self { store, writers, listings: Listings::default() }
    }

    async fn change(&self, bucket: &Bucket, change: Change) -> Result<Answer, KeyValueError> {
        self.writers.submit(&self.store, bucket, change).await
    }
}

#[async_trait]
impl KeyValue for NatsKeyValue {
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KeyValueError> {
        for _ in 0..ATTEMPTS {
            let found = self.store.value(&bucket.id, key).await?.filter(|value| !value.is_past(now()));
            let Some(found) = found else { return Ok(None) };
            if let Some(value) = self.store.whole(&found).await? {
                return Ok(Some(Entry { value, version: found.sequence, expires: found.expires_at() }));
            }
        }
        Err(unavailable(format!("bucket `{}`: `{key}` is written again and again", bucket.id)))
    }

    async fn get_many(&self, bucket: &Bucket, keys: &[String]) -> Result<Vec<Option<Entry>>, KeyValueError> {
        let get = async |key: String| self.get(bucket, &key).await;
        stream::iter(keys.to_vec()).map(get).buffered(AT_ONCE).try_collect().await
    }

    async fn write(&self, bucket: &Bucket, writes: Vec<Write>) -> Result<(), KeyValueError> {
        let (mut now, mut bytes) = (Vec::new(), 0);
        for write in writes {
            let more = write.value.as_ref().map_or(0, Bytes::len);
            if now.len() >= WRITES_AT_ONCE || (bytes + more > BYTES_AT_ONCE && !now.is_empty()) {
                self.change(bucket, Change::Write(std::mem::take(&mut now))).await?;
                bytes = 0;
            }
            bytes += more;
            now.push(write);
        }
        if !now.is_empty() {
            self.change(bucket, Change::Write(now)).await?;
        }
        Ok(())
    }

    async fn swap(&self, bucket: &Bucket, key: &str, version: u64, value: Bytes) -> Result<Swapped, KeyValueError> {
        match self.change(bucket, Change::Swap { key: key.to_owned(), version, value }).await? {
            Answer::Swapped(swapped) => Ok(swapped),
            Answer::Done | Answer::Count(_) => Ok(Swapped::Done),
        }
    }

    async fn increment(&self, bucket: &Bucket, key: &str, by: i64) -> Result<i64, KeyValueError> {
        match self.change(bucket, Change::Increment { key: key.to_owned(), by }).await? {
            Answer::Count(count) => Ok(count),
            Answer::Done | Answer::Swapped(_) => Err(KeyValueError::Unknown("an answer without a number".to_owned())),
        }
    }

    async fn list(&self, bucket: &Bucket, range: Range) -> Result<Page, KeyValueError> {
        let Range { prefix, after, limit } = range;
        let keys = match after.as_deref().and_then(|after| self.listings.resume(&bucket.id, &prefix, after)) {
            Some(keys) => keys,
            None => {
                let (found, now) = (scan::scan(&self.store, &bucket.id, &prefix).await?, now());
                let live = found.keys.into_iter().filter(|(_, expires)| expires.is_none_or(|expires| expires > now));
                live.map(|(key, _)| key).filter(|key| after.as_ref().is_none_or(|after| key > after)).collect()
            }
        };
        Ok(self.listings.page(&bucket.id, prefix, keys, limit.max(1)))
    }

    async fn buckets(&self) -> Result<Vec<BucketUsage>, KeyValueError> {
        self.store.ready().await?;
        let ids = sweep::buckets(&self.store).await?;
        let usage = async |id: BucketId| {
            let ledger = self.store.ledger(&id).await?.ledger;
            Ok::<_, KeyValueError>(BucketUsage { id, keys: ledger.keys, bytes: ledger.bytes })
        };
        let mut all: Vec<_> = stream::iter(ids).map(usage).buffer_unordered(AT_ONCE).try_collect().await?;
        all.retain(|usage| usage.keys > 0);
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    async fn clear(&self, bucket: &BucketId) -> Result<(), KeyValueError> {
        self.store.ready().await?;
        clear::clear(&self.store, bucket).await
    }
}
