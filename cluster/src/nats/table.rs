//! The registry's table in memory: what this process knows, and up to which commit.
//!
//! States: from disk (functions of an earlier run, for serving only) and live (taken from NATS, so that commits can be
//! decided on it). Fed by the watcher and by this process's own commits; only ever moves forward within one stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use samovar_model::{FunctionName, FunctionState};

use super::entry::Entry;
use super::snapshot_file::Known;
use super::watcher::{Follower, Message};
use crate::{RegistryError, Snapshot};

/// The key of a message that changes nothing, and keeps commits from being stored that were decided before it. It holds an
/// entry, so that a commit whose answer was lost can see that it is not its own. No function has this name.
pub(super) const FENCE: &str = "_fence";

/// Everything that was read from NATS, with what commits need beside the snapshot.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    /// The stream's sequence up to which this is complete.
    version: u64,
    functions: BTreeMap<FunctionName, Arc<FunctionState>>,
    /// The last revision number used, also of functions that are deleted.
    numbers: BTreeMap<FunctionName, u64>,
    /// Keys whose value this samovar cannot read, with the reason.
    unreadable: BTreeMap<String, String>,
}

impl Contents {
    /// Takes one message of the stream. Of an entry that cannot be read the function stays as it was.
    fn take(&mut self, message: &Message<'_>) {
        let Message { key, value, version, .. } = *message;
        self.version = version;
        if key == FENCE {
            return;
        }
        let name = key.parse::<FunctionName>().map_err(|error| error.to_string());
        match name.and_then(|name| Entry::read(&name, value).map(|entry| (name, entry))) {
            Ok((name, entry)) => {
                self.unreadable.remove(key);
                self.put(name, entry);
            }
            Err(reason) => {
                tracing::error!(key, reason, "an entry of the registry cannot be read");
                self.unreadable.insert(key.to_owned(), reason);
            }
        }
    }

    fn put(&mut self, name: FunctionName, entry: Entry) {
        self.numbers.insert(name.clone(), entry.last);
        match entry.function {
            None => self.functions.remove(&name),
            // What has not changed stays the same value, so that readers can compare addresses.
            Some(function) if self.functions.get(&name).is_some_and(|known| **known == function) => None,
            Some(function) => self.functions.insert(name, Arc::new(function)),
        };
    }

    fn refuse_unreadable(&self) -> Result<(), RegistryError> {
        let Some((key, reason)) = self.unreadable.iter().next() else { return Ok(()) };
        let text = format!("entry `{key}` cannot be read ({reason}); use the samovar that wrote it");
        Err(RegistryError::Unavailable(text))
    }

    /// Keeps the values of another table where they are equal.
    fn share(&mut self, known: &Snapshot) {
        for (name, function) in &mut self.functions {
            if let Some(same) = known.functions.get(name).filter(|known| *known == function) {
                *function = same.clone();
            }
        }
    }
}

/// What is kept on disk.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct KnownFunctions {
    version: u64,
    functions: Vec<Arc<FunctionState>>,
}

impl Known for KnownFunctions {
    const FILE: &'static str = "registry.json";
    type Table = Snapshot;

    fn of(snapshot: &Snapshot) -> Self {
        Self { version: snapshot.version, functions: snapshot.functions.values().cloned().collect() }
    }

    fn is_whole(&self) -> bool {
        self.functions.iter().all(|function| function.revision(function.current).is_some())
    }
}

impl From<KnownFunctions> for Snapshot {
    fn from(known: KnownFunctions) -> Self {
        let functions = known.functions.into_iter().map(|function| (function.name.clone(), function)).collect();
        Self { version: known.version, functions }
    }
}

/// The table that the watcher feeds and everyone reads.
pub(super) struct Table {
    /// Absent while the snapshot is from disk.
    live: Mutex<Option<Contents>>,
    newest: watch::Sender<Arc<Snapshot>>,
}

/// What a commit is decided on.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    /// The last revision number used under the name in question.
    pub(super) last: u64,
}

impl Table {
    /// A table that shows what an earlier run knew, or nothing.
    pub(super) fn new(known: Snapshot) -> Self {
        Self { live: Mutex::default(), newest: watch::Sender::new(Arc::new(known)) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.newest.subscribe()
    }

    fn live(&self) -> MutexGuard<'_, Option<Contents>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to decide a commit of this function on; absent while the table is not live.
    ///
    /// # Errors
    /// When some entry cannot be read: it could clash.
    pub(super) fn view(&self, name: &FunctionName) -> Result<Option<View>, RegistryError> {
        let live = self.live();
        let Some(contents) = &*live else { return Ok(None) };
        contents.refuse_unreadable()?;
        let last = contents.numbers.get(name).copied().unwrap_or(0);
        Ok(Some(View { snapshot: self.newest.borrow().clone(), last }))
    }

    /// Everything there is; absent while the table is not live.
    ///
    /// # Errors
    /// When some entry cannot be read: nobody knows what it refers to.
    pub(super) fn whole(&self) -> Result<Option<Arc<Snapshot>>, RegistryError> {
        let live = self.live();
        let Some(contents) = &*live else { return Ok(None) };
        contents.refuse_unreadable()?;
        Ok(Some(self.newest.borrow().clone()))
    }

    /// Takes a commit of this process, if it is the next one; otherwise the watcher will bring it.
    pub(super) fn committed(&self, name: &FunctionName, entry: Entry, version: u64) {
        let mut live = self.live();
        let Some(contents) = live.as_mut().filter(|contents| contents.version + 1 == version) else { return };
        contents.version = version;
        contents.put(name.clone(), entry);
        self.publish(contents);
    }

    /// Shows what is new; nobody is woken when nothing is.
    fn publish(&self, contents: &Contents) {
        let changed = |shown: &Snapshot| {
            let same = |(a, b): (&Arc<FunctionState>, &Arc<FunctionState>)| Arc::ptr_eq(a, b);
            let (shown_functions, functions) = (&shown.functions, &contents.functions);
            shown.version != contents.version
                || shown_functions.len() != functions.len()
                || !shown_functions.keys().eq(functions.keys())
                || !shown_functions.values().zip(functions.values()).all(same)
        };
        self.newest.send_if_modified(|shown| {
            let changed = changed(shown);
            if changed {
                *shown = Arc::new(Snapshot { version: contents.version, functions: contents.functions.clone() });
            }
            changed
        });
    }
}

impl Follower for Table {
    type Draft = Contents;

    fn version(&self) -> Option<u64> {
        self.live().as_ref().map(|contents| contents.version)
    }

    fn draft(&self, draft: &mut Contents, message: &Message<'_>) {
        draft.take(message);
    }

    fn replace(&self, mut draft: Contents, version: u64, stream_went_back: bool) {
        let mut live = self.live();
        let known = live.as_ref().map_or(0, |contents| contents.version);
        if version < known && !stream_went_back {
            return;
        }
        draft.version = version;
        draft.share(&self.newest.borrow());
        self.publish(&draft);
        *live = Some(draft);
    }

    fn advance(&self, message: &Message<'_>) {
        let mut live = self.live();
        let Some(contents) = live.as_mut().filter(|contents| contents.version < message.version) else { return };
        contents.take(message);
        self.publish(contents);
    }
}
