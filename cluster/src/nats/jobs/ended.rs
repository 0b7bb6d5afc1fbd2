//! Jobs that have come to their end: retried by hand, forgotten by hand. By themselves they are forgotten by the server, which is told
//! with each for how long it is kept.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use samovar_model::{JobId, JobState};

use super::change::{Base, Change, Committed};
use super::scan::{Depth, scan};
use super::store::{Store, unavailable};
use super::stored::{self, Found, Place, Standing};
use super::subjects::{Blob, Kind};
use super::submit::KeyEntry;
use crate::jobs::{JobsError, Selection};
use crate::nats::stream::PATIENCE;

/// How often a retry is decided anew when others came first.
const ATTEMPTS: usize = 5;
/// How many jobs are forgotten at once.
const AT_ONCE: usize = 16;

/// Makes a dead or waiting job due.
pub(super) async fn retry(store: &Arc<Store>, id: JobId) -> Result<(), JobsError> {
    for _ in 0..ATTEMPTS {
        let Some((kind, found)) = store.find(id).await? else { return Err(JobsError::NoJob(id)) };
        let held = found.stored.held.as_ref().is_some_and(|held| store.index().is_running(id, &held.owner));
        let state = if held { JobState::Running } else { found.stored.record.job.state };
        let record = found.stored.record.clone().retried(Timestamp::now()).filter(|_| !held);
        let Some(record) = record else { return Err(JobsError::NotToRetry { id, state }) };
        let mut after = found.clone();
        after.stored.record = record;
        after.stored.held = None;
        let mut change = Change::of(found.job())?;
        if kind == Kind::Dead {
            reopen(store, &mut change, &mut after).await?;
        } else {
            let headers = after.enter(&mut change)?;
            change.put_job(store, headers, after.content()?);
        }
        // Where it is open again the watch tells of it.
        if let Committed::Stored(_) = change.commit(store, PATIENCE).await? {
            return Ok(());
        }
    }
    Err(unavailable(format!("job {id}: others change it all the time")))
}

/// Adds to a change that a dead letter is open again. What it was answered is left to expire.
async fn reopen(store: &Store, change: &mut Change, after: &mut Found) -> Result<(), JobsError> {
    let id = after.stored.record.job.id;
    let open = store.seen(Kind::Open, id).await.map_err(unavailable)?;
    change.remove_job(store);
    (after.stored.answer, after.answer) = (Place::Nowhere, Bytes::new());
    after.stored.record.answer_bytes = 0;
    let headers = after.enter(change)?;
    change.put_if(store.subjects.job(Kind::Open, id), open.sequence, headers, after.content()?);
    Ok(())
}

/// A job that is to be forgotten.
struct Unwanted {
    id: JobId,
    sequence: u64,
    standing: Standing,
}

/// Forgets jobs that ended before this. Answers how many.
pub(super) async fn purge(store: &Arc<Store>, which: &Selection, before: Timestamp) -> Result<u64, JobsError> {
    let mut unwanted = Vec::new();
    for kind in [Kind::Done, Kind::Dead] {
        if which.state.is_some_and(|state| Kind::of(state) != kind) {
            continue;
        }
        scan(store, &store.subjects.jobs(kind), Depth::Heads, |read| {
            let (id, standing) = (store.subjects.id(read.subject), stored::standing(read.headers));
            let (Some(id), Some(standing)) = (id, standing) else { return };
            let function = which.function.as_ref().is_none_or(|function| *function == standing.function);
            if function && standing.at < before {
                unwanted.push(Unwanted { id, sequence: read.sequence, standing });
            }
        })
        .await?;
    }
    let forgotten = stream::iter(unwanted).map(|job| forget(store, job)).buffer_unordered(AT_ONCE);
    forgotten.try_fold(0, |count, gone| async move { Ok(count + u64::from(gone)) }).await
}

/// Forgets a job with its key; false where it has changed.
async fn forget(store: &Store, unwanted: Unwanted) -> Result<bool, JobsError> {
    let Unwanted { id, sequence, standing } = unwanted;
    let mut change = Change::of(Base { kind: Kind::of(standing.state), id, sequence, commit: None })?;
    change.remove_job(store);
    if let Some(key) = &standing.key {
        let subject = store.subjects.key(&standing.function, key);
        let message = store.messages.newest(&subject).await.map_err(unavailable)?;
        // It may stand for a later job by now.
        let is_ours = |payload: &[u8]| serde_json::from_slice::<KeyEntry>(payload).is_ok_and(|entry| entry.job == id);
        if let Some(message) = message.filter(|message| is_ours(&message.payload)) {
            let gone = stored::gone(&change.name);
            change.put_if(subject, message.sequence, gone, Bytes::new());
        }
    }
    let is_gone = matches!(change.commit(store, PATIENCE).await?, Committed::Stored(_));
    if is_gone && standing.in_parts {
        store.purge_parts(Blob::Request, id).await?;
        store.purge_parts(Blob::Answer, id).await?;
    }
    Ok(is_gone)
}
