//! Removing what is past its time. Every process looks now and then; that several do is only waste, and little of it.

use std::sync::Weak;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use samovar_model::{Bucket, BucketGrant, BucketId};
use tokio::time::sleep;

use super::attempt::due;
use super::store::{Store, unavailable};
use super::value::now_nanos;
use super::writer::Writers;
use crate::KeyValueError;

/// How long all processes together leave what is past its time, about.
const EVERY: Duration = Duration::from_secs(60);

/// Goes on until the writers are gone.
pub(super) async fn sweep(store: Store, writers: Weak<Writers>) {
    loop {
        // Not all processes at once.
        sleep(EVERY.mul_f64(0.5 + f64::from(now_nanos() % 1024) / 1024.0)).await;
        if writers.strong_count() == 0 {
            return;
        }
        if store.is_ready().await
            && let Err(error) = sweep_all(&store, &writers).await
        {
            tracing::debug!(%error, "values past their time are still there");
        }
    }
}

async fn sweep_all(store: &Store, writers: &Weak<Writers>) -> Result<(), KeyValueError> {
    for id in buckets(store).await? {
        let seen = store.ledger(&id).await?;
        if let Some(change) = due(store, &id, &seen).await?
            && let Some(writers) = writers.upgrade()
        {
            let BucketGrant { ttl, max_bytes, durability, .. } = BucketGrant::default();
            writers.submit(store, &Bucket { id, ttl, max_bytes, durability }, change).await?;
        }
    }
    Ok(())
}

/// The buckets that there is a ledger of, by the word of the stream's leader.
pub(super) async fn buckets(store: &Store) -> Result<Vec<BucketId>, KeyValueError> {
    let subjects = store.stream().await?.info_with_subjects(store.subjects.ledgers()).await.map_err(unavailable)?;
    let subjects: Vec<_> = subjects.try_collect().await.map_err(unavailable)?;
    Ok(subjects.into_iter().filter_map(|(subject, _)| store.subjects.bucket(&subject)).collect())
}
