//! The hosts that one request may go to: those of the table, less those that it has been to.

use std::sync::Arc;
use std::time::Duration;

use samovar_model::HostId;

use super::host::Host;
use super::table::HostTable;

/// What a policy chooses from.
#[derive(Clone, Copy)]
pub(crate) struct Candidates<'a> {
    pub(crate) table: &'a HostTable,
    /// A handful at most: a request is tried on few hosts.
    pub(crate) excluded: &'a [HostId],
    pub(crate) now: Duration,
}

impl<'a> Candidates<'a> {
    /// How many positions there are, those of excluded hosts included.
    pub(crate) fn len(&self) -> usize {
        self.table.hosts().len()
    }

    /// The host at this position, unless it is excluded.
    pub(crate) fn at(&self, position: usize) -> Option<&'a Arc<Host>> {
        self.table.hosts().get(position).filter(|host| !self.excluded.contains(host.id()))
    }

    /// The first one at this position or, in a circle, after it.
    pub(crate) fn from(&self, position: usize) -> Option<&'a Arc<Host>> {
        (0..self.len()).find_map(|step| self.at((position + step) % self.len()))
    }
}

/// Two different numbers below `count`, which must be at least 2, at random.
pub(crate) fn two_below(count: usize) -> (usize, usize) {
    let first = fastrand::usize(..count);
    // One of the others, by the way around.
    let second = (first + fastrand::usize(1..count)) % count;
    (first, second)
}
