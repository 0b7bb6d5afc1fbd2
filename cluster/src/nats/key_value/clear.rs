//! Deleting all that a bucket holds.
//!
//! The ledger says first that the bucket is being cleared, so that nobody writes meanwhile, and then that it is empty. Between
//! the two everything is purged that is older than the first. Whoever finds that somebody began and did not end, ends it.

use std::time::Duration;

use samovar_model::BucketId;
use tokio::time::{Instant, sleep};

use super::commit::{Committed, Step, commit};
use super::ledger::{Ledger, Seen};
use super::store::{PATIENCE, PAUSE, Store, unavailable};
use super::value::now;
use crate::KeyValueError;

/// After this long, whoever began to clear a bucket is taken to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Whether somebody clears the bucket who is still to be waited for.
pub(super) fn is_under_way(ledger: &Ledger) -> bool {
    ledger.clearing.is_some_and(|since| u128::from(now().saturating_sub(since)) < GONE.as_millis())
}

pub(super) async fn clear(store: &Store, bucket: &BucketId) -> Result<(), KeyValueError> {
    let end = Instant::now() + PATIENCE + GONE;
    loop {
        let seen = store.ledger(bucket).await?;
        if seen.sequence == 0 {
            return Ok(());
        }
        if !is_under_way(&seen.ledger) {
            let next = Ledger { clearing: Some(now()), ..seen.ledger.clone() };
            let step = Step { parts: Vec::new(), next, base: &seen };
            let begun = commit(store, bucket, step, Instant::now() + PATIENCE).await?;
            if let Committed::Stored(Some(begun)) = begun
                && finish(store, bucket, &begun).await?.is_some()
            {
                return Ok(());
            }
        }
        if Instant::now() >= end {
            return Err(unavailable(format!("bucket `{bucket}`: others write to it, or clear it, all the time")));
        }
        sleep(PAUSE).await;
    }
}

/// Ends what `begun` says has begun. Nothing where somebody else does.
pub(super) async fn finish(store: &Store, bucket: &BucketId, begun: &Seen) -> Result<Option<Seen>, KeyValueError> {
    let stream = store.stream().await?;
    let older = stream.purge().filter(store.subjects.all(bucket)).sequence(begun.sequence);
    older.await.map_err(unavailable)?;
    let next = Ledger { commits: begun.ledger.commits.clone(), ..Ledger::default() };
    let step = Step { parts: Vec::new(), next, base: begun };
    match commit(store, bucket, step, Instant::now() + PATIENCE).await? {
        Committed::Stored(seen) => Ok(seen),
        Committed::Overtaken => Ok(None),
    }
}
