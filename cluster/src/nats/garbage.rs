//! Removes what nothing refers to from the object store: artifacts, and the chunks of uploads that never ended.
//!
//! What is referred to is known as of a moment at which the registry was complete, and after which no commit can be stored
//! that was decided before (see [`Registry::settled`](crate::Registry::settled)). Only what was stored well before that
//! moment goes, by the servers' clocks. A commit that comes later claims its artifact between its decision and its
//! publication, so the record is younger than that moment, and stays: however late the commit's message arrives. An artifact
//! goes by removing its record first, and only if that is still the record that was looked at: one that was claimed or
//! uploaded again meanwhile has a newer one. Its chunks follow; if they cannot, the next collection takes them as those of an
//! upload that never ended.
//!
//! The one thing that rests on time is an upload in progress: its record must follow its chunks within
//! [`NatsConfig::garbage_age`](super::NatsConfig::garbage_age), or it makes visible what is gone; the next claim then finds
//! it not whole. One process at a time collects, under a lock; that only spares the servers work.

use std::collections::BTreeSet;
use std::time::SystemTime;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::object_store::ObjectInfo;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt as _;

use samovar_model::Digest;

use super::lock::Lock;
use super::record::{newest, stored_at, stream};
use super::{Nats, NatsError};

const LOCK: &str = "collect";

/// Removes every artifact that is not to be spared, by what was known at a moment by the servers' clocks. Answers how many;
/// none while another process collects.
pub(super) async fn collect(nats: &Nats, spared: &BTreeSet<Digest>, as_of: SystemTime) -> Result<usize, NatsError> {
    let Some(lock) = Lock::take(nats, LOCK).await? else { return Ok(0) };
    let collection = Collection { nats, stream: stream(nats).await?, as_of, lock: &lock };
    let collected = collection.run(spared).await;
    if let Err(error) = lock.release().await {
        tracing::warn!(%error, "the lock of the collection expires by itself");
    }
    collected
}

struct Collection<'a> {
    nats: &'a Nats,
    stream: Stream<()>,
    as_of: SystemTime,
    lock: &'a Lock,
}

impl Collection<'_> {
    async fn run(&self, spared: &BTreeSet<Digest>) -> Result<usize, NatsError> {
        let bucket = &self.nats.buckets().artifacts;
        // Chunks first: an upload that ends in between has a record by the time records are read.
        let chunks = self.subjects(&bucket.chunks(">")).await?;
        let (mut removed, mut kept) = (0, BTreeSet::new());
        for subject in self.subjects(&bucket.records()).await? {
            let Some(record) = newest(&self.stream, &subject).await? else { continue };
            let info = serde_json::from_slice::<ObjectInfo>(&record.payload);
            let info = info.map_err(|error| NatsError::Store(format!("record {subject}: {error}")))?;
            let digest = bucket.object(&subject).and_then(|name| name.parse::<Digest>().ok());
            // What is not named by a digest is not ours.
            let garbage = digest.is_some_and(|digest| !spared.contains(&digest)) && self.is_old(&record);
            if garbage && self.purge(&subject, Some(record.sequence)).await? {
                removed += 1;
            } else {
                kept.insert(bucket.chunks(&info.nuid));
            }
        }
        for subject in chunks.difference(&kept) {
            let last = newest(&self.stream, subject).await?;
            if last.is_some_and(|last| self.is_old(&last)) {
                self.purge(subject, None).await?;
            }
        }
        Ok(removed)
    }

    async fn subjects(&self, filter: &str) -> Result<BTreeSet<String>, NatsError> {
        let failed = |error: String| NatsError::Store(format!("the artifacts cannot be listed: {error}"));
        let stream = self.stream.info_with_subjects(filter).await.map_err(|error| failed(error.to_string()))?;
        stream.map_ok(|(subject, _)| subject).try_collect().await.map_err(|error| failed(error.to_string()))
    }

    fn is_old(&self, message: &StreamMessage) -> bool {
        // What was stored after that moment has no age: it is never old.
        self.as_of.duration_since(stored_at(message)).is_ok_and(|age| age >= self.nats.config().garbage_age)
    }

    /// Removes the messages of a subject, up to one of them if so asked. Whether any was there.
    async fn purge(&self, subject: &str, up_to: Option<u64>) -> Result<bool, NatsError> {
        if !self.lock.is_held() {
            return Err(NatsError::Store("the collection lost its lock; the rest is left to the next one".to_owned()));
        }
        let purge = self.stream.purge().filter(subject);
        let purged = match up_to {
            Some(sequence) => purge.sequence(sequence + 1).await,
            None => purge.await,
        };
        purged.map(|purged| purged.purged > 0).map_err(|error| NatsError::Store(format!("purge {subject}: {error}")))
    }
}
