//! What one key of the bucket of functions holds, and how it fits into a message.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use samovar_model::{FunctionName, FunctionState, RevisionNumber};

use crate::{RegistryError, random};

/// One commit of one function. Never removed: after a delete an entry without a function keeps the last number, so that
/// numbers are not used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Names the commit, so that whoever sent it can tell it from another's when the answer was lost.
    pub(super) operation: String,
    /// The last revision number that was used.
    pub(super) last: u64,
    /// The function, unless it was deleted.
    pub(super) function: Option<FunctionState>,
}

impl Entry {
    /// Reads an entry and sees that nothing in it would break what relies on it.
    pub(super) fn read(name: &FunctionName, json: &[u8]) -> Result<Self, String> {
        let entry: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if let Some(function) = &entry.function {
            if function.name != *name {
                return Err(format!("it holds function `{}`", function.name));
            }
            if function.revision(function.current).is_none() {
                return Err(format!("its current revision {} is not kept", function.current));
            }
        }
        Ok(entry)
    }

    /// The entry as a value of at most `limit` bytes. Where it is larger, the function's oldest revisions are dropped, as few
    /// as possible: never the one that answers, and the one that `answered` before last of all, since a rollback wants it.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] when the revision that answers is too large by itself.
    pub(super) fn fit(&mut self, answered: Option<RevisionNumber>, limit: usize) -> Result<Bytes, RegistryError> {
        loop {
            let value = serde_json::to_vec(self).map_err(|error| RegistryError::Unavailable(error.to_string()))?;
            let Some(function) = self.function.as_mut().filter(|_| value.len() > limit) else {
                return Ok(value.into());
            };
            let others =
                || function.revisions.iter().map(|revision| revision.number).filter(|n| *n != function.current);
            let Some(dropped) = others().find(|number| Some(*number) != answered).or_else(|| others().next()) else {
                return Err(RegistryError::TooLarge {
                    function: function.name.clone(),
                    number: function.current,
                    size_bytes: value.len(),
                    limit_bytes: limit,
                });
            };
            function.revisions.retain(|revision| revision.number != dropped);
            tracing::warn!(
                function = %function.name,
                revision = %dropped,
                limit_bytes = limit,
                "a revision is no longer kept: with it, the function's entry would be too large for NATS"
            );
        }
    }

    /// A name that no other commit has.
    pub(super) fn new_operation() -> Result<String, std::io::Error> {
        random::bytes::<16>().map(hex::encode)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use samovar_model::Revision;

    use super::*;
    use crate::contract::{name, revision};

    /// A function with revisions of these sizes, numbered from 1.
    fn entry(current: u64, sizes: &[usize]) -> Entry {
        let a = name("a");
        let revision = |(index, size): (usize, &usize)| {
            let mut settings = revision(&a, 1).settings;
            settings.env.insert("X".to_owned(), "x".repeat(*size));
            let crate::NewRevision { artifact, size, kind, .. } = revision(&a, 1);
            let number = RevisionNumber(index as u64 + 1);
            Arc::new(Revision { number, created: Timestamp::UNIX_EPOCH, artifact, size, kind, settings })
        };
        let revisions = sizes.iter().enumerate().map(revision).collect();
        let function = Some(FunctionState { name: a, current: RevisionNumber(current), revisions });
        Entry { operation: "o".repeat(32), last: sizes.len() as u64, function }
    }

    fn kept(current: u64, sizes: &[usize], answered: u64, limit: usize) -> Vec<u64> {
        let mut entry = entry(current, sizes);
        let value = entry.fit(Some(RevisionNumber(answered)), limit).unwrap();
        assert!(value.len() <= limit);
        assert_eq!(Entry::read(&name("a"), &value).unwrap(), entry);
        entry.function.unwrap().revisions.iter().map(|revision| revision.number.0).collect()
    }

    #[test]
    fn the_oldest_revisions_make_room_and_the_one_that_answered_goes_last() {
        let sizes = [10_000; 5];
        assert_eq!(kept(5, &sizes, 4, 100_000), [1, 2, 3, 4, 5]);
        assert_eq!(kept(5, &sizes, 4, 48_000), [2, 3, 4, 5], "as few as possible");
        assert_eq!(kept(5, &sizes, 4, 36_000), [3, 4, 5]);
        assert_eq!(kept(5, &sizes, 1, 36_000), [1, 4, 5], "a rollback wants what answered before");
        assert_eq!(kept(5, &sizes, 1, 15_000), [5]);
        assert_eq!(kept(2, &sizes, 5, 25_000), [2, 5], "a rollback's revision is the one that answers");
    }

    #[test]
    fn a_revision_that_does_not_fit_alone_is_refused_with_both_sizes() {
        let mut entry = entry(2, &[100, 10_000]);
        let size = {
            let mut alone = entry.clone();
            alone.function.as_mut().unwrap().revisions.remove(0);
            alone.fit(None, usize::MAX).unwrap().len()
        };
        let refused = entry.fit(Some(RevisionNumber(1)), 9000).unwrap_err().to_string();
        let expected = format!("function `a`: revision 2 takes {size} bytes in the registry, 9000 at most");
        assert!(refused.starts_with(&expected) && refused.contains("max_payload"), "{refused}");
    }
}
