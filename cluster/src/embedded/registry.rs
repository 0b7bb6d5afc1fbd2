//! The registry in redb. One commit at a time: decide, write, sync, publish.
//!
//! Tables: `functions` (name to [`FunctionState`] as JSON), `numbers` (name to the last revision number used, kept after
//! a delete), `meta` (`version`: how many commits there have been).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::watch;

use samovar_model::{FunctionName, FunctionState, RevisionNumber};

use super::DataDir;
use crate::durable::sync_dir;
use crate::{Deployment, NewRevision, Registry, RegistryError, Settled, Snapshot, rules};

const FUNCTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("functions");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const VERSION: &str = "version";

/// The registry of one process.
pub struct EmbeddedRegistry {
    store: Arc<Store>,
}

struct Store {
    database: Database,
    /// Held from reading the newest snapshot to publishing the next one.
    turn: Mutex<()>,
    newest: watch::Sender<Arc<Snapshot>>,
    /// Keeps the directory locked while the database is open.
    _dir: DataDir,
}

/// What a commit writes.
enum Change {
    Put(FunctionState),
    Delete,
}

impl EmbeddedRegistry {
    /// Opens the data directory's registry, or begins an empty one. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`] when the database cannot be opened or read.
    pub fn open(dir: &DataDir) -> Result<Self, RegistryError> {
        let file = dir.registry();
        let failed = |error: &dyn std::fmt::Display| RegistryError::Unavailable(format!("{}: {error}", file.display()));
        let database = Database::create(&file).map_err(|error| failed(&error))?;
        sync_dir(dir.path()).map_err(|error| failed(&error))?;
        let snapshot = load(&database).map_err(|error| failed(&error))?;
        let newest = watch::Sender::new(Arc::new(snapshot));
        Ok(Self { store: Arc::new(Store { database, turn: Mutex::new(()), newest, _dir: dir.clone() }) })
    }

    /// Runs a commit where it may block. It runs to its end even if the caller goes away.
    async fn commit(
        &self,
        name: &FunctionName,
        decide: impl FnOnce(&Snapshot, u64) -> Result<Option<Change>, RegistryError> + Send + 'static,
    ) -> Result<Committed, RegistryError> {
        let (store, name) = (self.store.clone(), name.clone());
        let commit = tokio::task::spawn_blocking(move || store.commit(&name, decide));
        commit.await.map_err(|error| RegistryError::Unknown(format!("the commit was broken off: {error}")))?
    }
}

/// The newest snapshot after a commit, and whether it is a new one.
struct Committed {
    snapshot: Arc<Snapshot>,
    changed: bool,
}

impl Committed {
    fn deployment(self, name: &FunctionName) -> Result<Deployment, RegistryError> {
        let function = self.snapshot.functions.get(name).ok_or_else(|| RegistryError::NoFunction(name.clone()))?;
        Ok(Deployment { function: function.clone(), changed: self.changed, version: self.snapshot.version })
    }
}

impl Store {
    fn commit(
        &self,
        name: &FunctionName,
        decide: impl FnOnce(&Snapshot, u64) -> Result<Option<Change>, RegistryError>,
    ) -> Result<Committed, RegistryError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.newest.borrow().clone();
        let last = self.last_number(name).map_err(unavailable)?;
        let Some(change) = decide(&before, last)? else {
            return Ok(Committed { snapshot: before, changed: false });
        };
        let version = before.version + 1;
        let write = self.write(name, &change, version).map_err(unavailable)?;
        // A commit that fails here may still have reached the disk.
        write.commit().map_err(|error| RegistryError::Unknown(error.to_string()))?;
        let mut functions = before.functions.clone();
        match change {
            Change::Put(state) => functions.insert(name.clone(), Arc::new(state)),
            Change::Delete => functions.remove(name),
        };
        let snapshot = Arc::new(Snapshot { version, functions });
        self.newest.send_replace(snapshot.clone());
        Ok(Committed { snapshot, changed: true })
    }

    fn last_number(&self, name: &FunctionName) -> Result<u64, redb::Error> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(NUMBERS)?.get(name.as_str())?.map_or(0, |number| number.value()))
    }

    fn write(&self, name: &FunctionName, change: &Change, version: u64) -> Result<redb::WriteTransaction, redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        write.open_table(META)?.insert(VERSION, version)?;
        match change {
            Change::Put(state) => {
                let json = serde_json::to_vec(state).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                write.open_table(FUNCTIONS)?.insert(name.as_str(), json.as_slice())?;
                // The newest revision is always kept, so the last number used is the largest one there is.
                let newest = state.revisions.iter().map(|revision| revision.number.0).max().unwrap_or(0);
                write.open_table(NUMBERS)?.insert(name.as_str(), newest)?;
            }
            Change::Delete => {
                write.open_table(FUNCTIONS)?.remove(name.as_str())?;
            }
        }
        Ok(write)
    }
}

fn unavailable(error: redb::Error) -> RegistryError {
    RegistryError::Unavailable(error.to_string())
}

/// Reads everything, making the tables at the first start so that reading never meets a missing one.
fn load(database: &Database) -> Result<Snapshot, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    write.open_table(FUNCTIONS)?;
    write.open_table(NUMBERS)?;
    write.open_table(META)?;
    write.commit()?;

    let read = database.begin_read()?;
    let version = read.open_table(META)?.get(VERSION)?.map_or(0, |version| version.value());
    let mut functions = BTreeMap::new();
    for entry in read.open_table(FUNCTIONS)?.iter()? {
        let (name, json) = entry?;
        let state: FunctionState = serde_json::from_slice(json.value())
            .map_err(|error| redb::Error::Corrupted(format!("function `{}`: {error}", name.value())))?;
        if state.revision(state.current).is_none() {
            let text = format!("function `{}`: its current revision {} is not kept", state.name, state.current);
            return Err(redb::Error::Corrupted(text));
        }
        functions.insert(state.name.clone(), Arc::new(state));
    }
    Ok(Snapshot { version, functions })
}

#[async_trait]
impl Registry for EmbeddedRegistry {
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.store.newest.subscribe()
    }

    async fn settled(&self) -> Result<Settled, RegistryError> {
        let store = self.store.clone();
        let settled = move || {
            let at = SystemTime::now();
            let _turn = store.turn.lock().unwrap_or_else(PoisonError::into_inner);
            Settled { snapshot: store.newest.borrow().clone(), at }
        };
        tokio::task::spawn_blocking(settled).await.map_err(|error| RegistryError::Unavailable(error.to_string()))
    }

    async fn deploy(&self, name: &FunctionName, new: NewRevision) -> Result<Deployment, RegistryError> {
        let function = name.clone();
        let decide = move |before: &Snapshot, last| Ok(rules::deploy(before, &function, new, last)?.map(Change::Put));
        self.commit(name, decide).await?.deployment(name)
    }

    async fn rollback(&self, name: &FunctionName, number: Option<RevisionNumber>) -> Result<Deployment, RegistryError> {
        let function = name.clone();
        let decide = move |before: &Snapshot, _| Ok(rules::rollback(before, &function, number)?.map(Change::Put));
        self.commit(name, decide).await?.deployment(name)
    }

    async fn delete(&self, name: &FunctionName) -> Result<u64, RegistryError> {
        let function = name.clone();
        let decide = move |before: &Snapshot, _| match before.functions.contains_key(&function) {
            true => Ok(Some(Change::Delete)),
            false => Err(RegistryError::NoFunction(function)),
        };
        Ok(self.commit(name, decide).await?.snapshot.version)
    }
}
