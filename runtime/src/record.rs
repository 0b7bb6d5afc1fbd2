//! An invocation's entry in its function's statistics: begun when it comes, ended once.

use std::sync::Arc;
use std::time::Instant;

use samovar_model::Fault;

use crate::revision::Revision;

/// An invocation that has not ended. Dropped, it counts as one whose caller went away.
pub(crate) struct Record {
    revision: Arc<Revision>,
    started: Instant,
    ended: bool,
}

impl Record {
    /// Begins one that its gateway got at `started`.
    pub(crate) fn begin(revision: Arc<Revision>, started: Instant) -> Self {
        Self { revision, started, ended: false }
    }

    pub(crate) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The caller has all of the answer.
    pub(crate) fn answered(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.revision.counters.ended(self.started);
        }
    }

    /// There is no answer, or not all of it.
    pub(crate) fn failed(&mut self, fault: Fault) -> Fault {
        if !std::mem::replace(&mut self.ended, true) {
            self.revision.counters.fault(&fault);
            self.revision.counters.ended(self.started);
        }
        fault
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.failed(Fault::CallerGone);
    }
}
