//! Looking through a bucket's keys.
//!
//! The server sends the headers of every message whose key has the prefix, and of the ledger, in the order in which they were
//! stored. Every write puts the ledger behind what it wrote, so whoever has read up to the ledger that the leader told has read
//! every key that was there by then, whichever replica sends.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt as _;
use samovar_model::BucketId;
use tokio::time::{Instant, timeout_at};

use super::store::{PATIENCE, Store, unavailable};
use super::value;
use crate::KeyValueError;

/// How many headers are asked for at once.
const AT_ONCE: usize = 5000;
/// After this long without a request the server forgets the consumer.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The keys, in order, and when they are past their time.
    pub(super) keys: Vec<(String, Option<u64>)>,
    /// The place of the ledger that it goes up to; 0 where there is none.
    pub(super) ledger: u64,
}

/// The keys with a prefix, those included that are past their time.
pub(super) async fn scan(store: &Store, bucket: &BucketId, prefix: &str) -> Result<Found, KeyValueError> {
    let seen = store.ledger(bucket).await?;
    if seen.ledger.keys == 0 {
        return Ok(Found { ledger: seen.sequence, ..Found::default() });
    }
    let ledger = store.subjects.ledger(bucket);
    let mut filter_subjects = store.subjects.values(bucket, prefix);
    filter_subjects.push(ledger.clone());
    let config = pull::Config {
        filter_subjects,
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        headers_only: true,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: FORGOTTEN,
        ..pull::Config::default()
    };
    let stream = store.stream().await?;
    let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
    let name = consumer.cached_info().name.clone();
    let mut found = Found::default();
    let mut end = Instant::now() + PATIENCE;
    while found.ledger < seen.sequence {
        let batch = consumer.fetch().max_messages(AT_ONCE).messages().await;
        let mut batch = batch.map_err(unavailable)?;
        let next = async { batch.next().await };
        let mut message = timeout_at(end, next).await.map_err(late)?;
        while let Some(received) = message {
            let received = received.map_err(unavailable)?;
            if received.subject.as_str() == ledger {
                found.ledger = received.info().map_err(unavailable)?.stream_sequence;
            } else if let Some(key) = store.subjects.key(bucket, &received.subject) {
                let headers = received.headers.clone().unwrap_or_default();
                if !value::is_deleted(&headers) {
                    found.keys.push((key, value::expires(&headers)));
                }
            }
            // It is only late when nothing comes any more.
            end = Instant::now() + PATIENCE;
            message = timeout_at(end, batch.next()).await.map_err(late)?;
        }
        if Instant::now() >= end {
            return Err(late(()));
        }
    }
    tokio::spawn(async move { drop(stream.delete_consumer(&name).await) });
    found.keys.sort_unstable();
    found.keys.dedup_by(|one, other| one.0 == other.0);
    Ok(found)
}

fn late<T>(_: T) -> KeyValueError {
    unavailable("NATS does not send a bucket's keys")
}
