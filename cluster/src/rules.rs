//! What a commit does to a function, apart from how it is stored: which number a revision gets, which revisions are
//! kept, which routes clash. Pure, and the same for every backend.

use std::sync::Arc;

use jiff::Timestamp;
use samovar_model::{Clash, FunctionName, FunctionState, Revision, RevisionNumber, Settings};

use crate::{NewRevision, RegistryError, Snapshot};

/// How many revisions of a function are kept, the current one among them.
pub(crate) const KEPT: usize = 10;

/// The function after a deploy, or `None` when its current revision has this content already.
/// `last` is the last number that was ever used under this name, 0 if none was.
pub(crate) fn deploy(
    before: &Snapshot,
    name: &FunctionName,
    new: NewRevision,
    last: u64,
) -> Result<Option<FunctionState>, RegistryError> {
    let existing = before.functions.get(name);
    if let Some(expected) = new.instead_of {
        let current = existing.ok_or_else(|| RegistryError::NoFunction(name.clone()))?.current;
        if current != expected {
            return Err(RegistryError::Overtaken { function: name.clone(), expected, current });
        }
    }
    if existing.is_some_and(|function| function.current().same_content(&new.artifact, &new.settings)) {
        return Ok(None);
    }
    refuse_clash(before, name, &new.settings)?;
    let number = RevisionNumber(last + 1);
    let NewRevision { artifact, size, kind, settings, .. } = new;
    let revision = Revision { number, created: Timestamp::now(), artifact, size, kind, settings };
    let mut revisions = existing.map(|function| function.revisions.clone()).unwrap_or_default();
    revisions.push(Arc::new(revision));
    // The newest is the current one, so dropping the oldest never drops that.
    revisions.drain(..revisions.len().saturating_sub(KEPT));
    Ok(Some(FunctionState { name: name.clone(), current: number, revisions }))
}

/// The function after a rollback, or `None` when the revision asked for is the current one.
pub(crate) fn rollback(
    before: &Snapshot,
    name: &FunctionName,
    number: Option<RevisionNumber>,
) -> Result<Option<FunctionState>, RegistryError> {
    let function = before.functions.get(name).ok_or_else(|| RegistryError::NoFunction(name.clone()))?;
    let target = match number {
        Some(number) => function.revision(number).ok_or_else(|| no_revision(function, number))?,
        None => {
            let earlier = function.revisions.iter().rev().find(|revision| revision.number < function.current);
            earlier.ok_or_else(|| RegistryError::NothingBefore(name.clone()))?
        }
    };
    if target.number == function.current {
        return Ok(None);
    }
    refuse_clash(before, name, &target.settings)?;
    Ok(Some(FunctionState { current: target.number, ..FunctionState::clone(function) }))
}

fn no_revision(function: &FunctionState, number: RevisionNumber) -> RegistryError {
    let kept: Vec<_> = function.revisions.iter().map(|revision| revision.number.to_string()).collect();
    RegistryError::NoRevision { function: function.name.clone(), number, kept: kept.join(", ") }
}

/// Only what answers can clash: older revisions of other functions do not count.
fn refuse_clash(before: &Snapshot, name: &FunctionName, settings: &Settings) -> Result<(), Clash> {
    for other in before.functions.values().filter(|other| other.name != *name) {
        for theirs in &other.current().settings.routes {
            if let Some(route) = settings.routes.iter().find(|route| route.clashes_with(theirs)) {
                return Err(Clash {
                    new: name.to_string(),
                    existing: other.name.to_string(),
                    route: route.to_string(),
                });
            }
        }
    }
    Ok(())
}
