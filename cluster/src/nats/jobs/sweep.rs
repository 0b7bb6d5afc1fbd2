//! Removing what nothing refers to. Jobs that have ended, their answers and their keys go by themselves; the parts of a long request
//! cannot, since nobody knows for how long a job is open. They stay when the server forgets the dead letter that they belong to.

use std::time::SystemTime;

use super::scan::{Depth, scan};
use super::store::{Store, unavailable};
use super::subjects::{Blob, Kind};
use crate::JobsError;

/// Removes parts that are old enough to be left over.
pub(super) async fn sweep(store: &Store) -> Result<(), JobsError> {
    let (mut old, now) = (Vec::new(), SystemTime::now());
    let young = store.messages.nats.config().garbage_age;
    scan(store, &store.subjects.first_parts(), Depth::Heads, |read| {
        let age = now.duration_since(read.stored).unwrap_or_default();
        old.extend(store.subjects.id(read.subject).filter(|_| age >= young));
    })
    .await?;
    for id in old {
        // A request and its job are stored together: where it is not there now, it is gone. It is open again while it is looked
        // for among the dead, if somebody retries it.
        let is = async |kind| Ok(store.seen(kind, id).await.map_err(unavailable)?.found.is_some());
        let is_there =
            store.index().is_open(id) || is(Kind::Open).await? || is(Kind::Dead).await? || is(Kind::Open).await?;
        if !is_there {
            store.purge_parts(Blob::Request, id).await?;
        }
    }
    Ok(())
}
