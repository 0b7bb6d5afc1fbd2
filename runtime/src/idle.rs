//! Which instance of the host has been idle longest: the first to go when there is no room.
//!
//! Pools keep their own order. To look through all of them for every instance that goes would cost a host of ten thousand
//! functions a millisecond each time, so one look gives many to go: they stay the oldest as long as they are not used, since
//! what becomes idle later is younger.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use samovar_model::ComponentKind;
use tokio::time::Instant;

use crate::instance::Instance;
use crate::revision::Revision;

/// How many are remembered of one look.
const REMEMBERED: usize = 256;

/// The pools whose idle instances go next.
#[derive(Default)]
pub(crate) struct IdleOrder {
    next: Mutex<Vec<Candidate>>,
    evictions: AtomicU64,
}

/// A pool, and since when its oldest instance was idle when it was looked at.
struct Candidate {
    since: Instant,
    revision: Weak<Revision>,
}

impl IdleOrder {
    /// Takes out the instance that has been idle longest, or that of this kind. The caller drops it.
    pub(crate) fn evict(
        &self,
        kind: Option<ComponentKind>,
        revisions: impl Fn() -> Vec<Arc<Revision>>,
    ) -> Option<Instance> {
        let instance = self.oldest(kind, revisions);
        self.evictions.fetch_add(instance.is_some().into(), Relaxed);
        instance
    }

    /// How many it has taken out so far.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    fn oldest(&self, kind: Option<ComponentKind>, revisions: impl Fn() -> Vec<Arc<Revision>>) -> Option<Instance> {
        let is_kind = |revision: &Revision| kind.is_none_or(|kind| revision.spec.kind == kind);
        while let Some(candidate) = self.next() {
            let Some(revision) = candidate.revision.upgrade() else { continue };
            // It may have been used, or taken, since.
            if is_kind(&revision)
                && revision.pool.idle_since() == Some(candidate.since)
                && let Some(instance) = revision.pool.evict()
            {
                return Some(instance);
            }
        }
        let revisions = revisions();
        let idle = revisions.iter().filter(|revision| is_kind(revision)).filter_map(|revision| {
            Some(Candidate { since: revision.pool.idle_since()?, revision: Arc::downgrade(revision) })
        });
        let mut found: Vec<_> = idle.collect();
        // The oldest last, where it is taken from.
        found.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.since));
        let forgotten = found.len().saturating_sub(REMEMBERED);
        found.drain(..forgotten);
        let first = found.pop()?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = found;
        first.revision.upgrade()?.pool.evict()
    }

    fn next(&self) -> Option<Candidate> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
