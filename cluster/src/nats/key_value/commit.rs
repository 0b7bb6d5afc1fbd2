//! A commit: one atomic batch that ends with the ledger, and what became of it.
//!
//! Where NATS gives no answer, the same batch is sent again under the same condition, which only one of the copies can meet.
//! Whatever comes back decides: when the ledger has been written since, the names of the last commits in it tell by whom.

use async_nats::HeaderMap;
use samovar_model::BucketId;
use tokio::time::{Instant, sleep};

use super::ledger::{Ledger, Seen};
use super::store::{PAUSE, Store, unavailable};
use crate::KeyValueError;
use crate::nats::commits::Fate;
use crate::nats::stream::{NotStored, Part, new_name};

/// What is to be stored.
pub(super) struct Step<'a> {
    pub(super) parts: Vec<Part>,
    /// The ledger that goes with them.
    pub(super) next: Ledger,
    /// The ledger that must be there before.
    pub(super) base: &'a Seen,
}

/// What became of a commit.
pub(super) enum Committed {
    /// It is stored. With the ledger, if that is still its own.
    Stored(Option<Seen>),
    /// Somebody else was first, and it never will be.
    Overtaken,
}

/// Stores messages and the ledger that goes with them, if the ledger before is still `base`.
///
/// # Errors
/// [`KeyValueError::Unknown`] where a copy was sent whose answer never came; else nothing is stored.
pub(super) async fn commit(
    store: &Store,
    bucket: &BucketId,
    step: Step<'_>,
    end: Instant,
) -> Result<Committed, KeyValueError> {
    let Step { parts: mut batch, next: mut ledger, base } = step;
    let name = new_name().map_err(unavailable)?;
    ledger.commits.enter(&name);
    let (subject, payload) = (store.subjects.ledger(bucket), serde_json::to_vec(&ledger).map_err(unavailable)?.into());
    batch.push(Part { subject, headers: HeaderMap::new(), payload });
    let mut open = false;
    loop {
        let failed = match store.publish(batch.clone(), base.sequence).await {
            Ok(sequence) => return Ok(Committed::Stored(Some(Seen { ledger, sequence }))),
            Err(NotStored::Conflict) if !open => return Ok(Committed::Overtaken),
            Err(NotStored::Conflict) => {
                let now = store.ledger(bucket).await.map_err(|error| KeyValueError::Unknown(error.to_string()))?;
                match now.ledger.commits.fate(&name, base.ledger.commits.last()) {
                    _ if now.sequence == base.sequence => "NATS has not decided yet".to_owned(),
                    Fate::Stored => {
                        let own = now.ledger.commits.last() == Some(&name);
                        return Ok(Committed::Stored(own.then_some(now)));
                    }
                    Fate::Overtaken => return Ok(Committed::Overtaken),
                    Fate::Forgotten => {
                        return Err(KeyValueError::Unknown("many others have written since".to_owned()));
                    }
                }
            }
            Err(NotStored::Refused(reason)) => reason,
            Err(NotStored::Open(reason)) => {
                open = true;
                reason
            }
        };
        if Instant::now() + PAUSE >= end {
            let error = if open { KeyValueError::Unknown(failed) } else { KeyValueError::Unavailable(failed) };
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}
