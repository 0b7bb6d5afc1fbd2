//! What a change makes of a function: `Change::decide`, `src/rules.rs`.

use super::Change::{self, Delete, Deploy, DeployShared, Fence, Rollback};
use super::{Broken, Commits, Entry, Revision, State};

impl Commits {
    /// The entry that a change makes, of the first messages of the stream: `Err` when it is refused or there is nothing to change.
    pub(super) fn decide(&self, state: &State, change: Change, length: u8) -> Result<(char, Entry), ()> {
        let clashes = |key: char| state.has_route(if key == 'a' { 'b' } else { 'a' }, length);
        let (key, entry) = match change {
            Deploy(key, content) | DeployShared(key, content) => {
                let shared = matches!(change, DeployShared(..));
                let mut entry = state.entry(key, length).cloned().unwrap_or_default();
                let current = entry.revisions.iter().find(|revision| revision.number == entry.current);
                if current.is_some_and(|current| (current.content, current.shared) == (content, shared)) {
                    return Err(());
                }
                if shared && clashes(key) {
                    return Err(());
                }
                entry.last += 1;
                entry.current = entry.last;
                entry.revisions.push(Revision { number: entry.last, content, shared });
                (key, entry)
            }
            Rollback(key) => {
                let mut entry = state.entry(key, length).cloned().unwrap_or_default();
                let earlier = entry.revisions.iter().rev().find(|revision| revision.number < entry.current);
                let Some(&Revision { number, shared, .. }) = earlier else { return Err(()) };
                if shared && clashes(key) {
                    return Err(());
                }
                entry.current = number;
                (key, entry)
            }
            Delete(key) => {
                let Some(entry) = state.entry(key, length).filter(|entry| entry.current > 0) else { return Err(()) };
                let last = if self.broken == Broken::NumbersForgotten { 0 } else { entry.last };
                (key, Entry { last, ..Entry::default() })
            }
            Fence => ('_', Entry::default()),
        };
        Ok((key, entry))
    }
}
