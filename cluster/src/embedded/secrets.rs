//! Sealed secrets in redb, one record a name, and the key that the data directory makes for itself.
//!
//! Tables: `secrets` (name to [`SecretRecord`] as JSON, kept after a removal for its version), `meta` (`version`: how many writes
//! there have been).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use samovar_model::SecretName;
use tokio::sync::watch;

use super::DataDir;
use crate::durable::sync_dir;
use crate::secrets::{KeyError, Put, SecretError, SecretKeys, SecretRecord, SecretTable, Secrets};

const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const VERSION: &str = "version";

/// The sealed secrets of one machine.
pub struct EmbeddedSecrets {
    store: Arc<Store>,
}

struct Store {
    database: Database,
    /// Held from reading the newest table to publishing the next one.
    turn: Mutex<()>,
    newest: watch::Sender<Arc<SecretTable>>,
    dir: DataDir,
}

impl EmbeddedSecrets {
    /// Opens the data directory's secrets, or begins without any. Blocks on the disk.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] when the database cannot be opened or read.
    pub fn open(dir: &DataDir) -> Result<Self, SecretError> {
        let file = dir.secrets();
        let failed = |error: &dyn std::fmt::Display| SecretError::Unavailable(format!("{}: {error}", file.display()));
        let database = Database::create(&file).map_err(|error| failed(&error))?;
        sync_dir(dir.path()).map_err(|error| failed(&error))?;
        let table = load(&database).map_err(|error| failed(&error))?;
        let newest = watch::Sender::new(Arc::new(table));
        Ok(Self { store: Arc::new(Store { database, turn: Mutex::new(()), newest, dir: dir.clone() }) })
    }

    /// The data directory's own keys. One is made where there is none and nothing is sealed yet; where something is, the file
    /// was lost, and the inner error says what to do about it. Blocks on the disk.
    ///
    /// # Errors
    /// When the file is there and cannot be used, or one cannot be made.
    pub fn own_keys(&self) -> Result<Result<SecretKeys, String>, KeyError> {
        let Store { dir, newest, .. } = &*self.store;
        let file = dir.path().join(DataDir::SECRETS_KEY);
        match SecretKeys::read(&file) {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read.map(Ok),
        }
        let sealed = newest.borrow().all().count();
        if sealed == 0 {
            return SecretKeys::make(dir.path(), DataDir::SECRETS_KEY).map(Ok);
        }
        Ok(Err(format!(
            "the key of {sealed} secrets is gone: put {} back from a backup and start again; or remove them \
             (`samovar secret list`, `samovar secret remove`), start again, which makes a new key, and set them anew",
            file.display()
        )))
    }
}

impl Store {
    fn put(&self, name: &SecretName, record: SecretRecord) -> Result<Put, SecretError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = SecretTable::clone(&self.newest.borrow());
        if record.version.checked_sub(1) != Some(table.records.get(name).map_or(0, |last| last.version)) {
            return Ok(Put::Outdated);
        }
        table.version += 1;
        let write = self.write(name, &record, table.version);
        let write = write.map_err(|error| SecretError::Unavailable(error.to_string()))?;
        // A commit that fails here may still have reached the disk.
        write.commit().map_err(|error| SecretError::Unknown(error.to_string()))?;
        table.records.insert(name.clone(), Arc::new(record));
        self.newest.send_replace(Arc::new(table));
        Ok(Put::Done)
    }

    fn write(
        &self,
        name: &SecretName,
        record: &SecretRecord,
        version: u64,
    ) -> Result<redb::WriteTransaction, redb::Error> {
        let json = serde_json::to_vec(record).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        write.open_table(META)?.insert(VERSION, version)?;
        write.open_table(SECRETS)?.insert(name.as_str(), json.as_slice())?;
        Ok(write)
    }
}

/// Reads everything, making the tables at the first start so that reading never meets a missing one.
fn load(database: &Database) -> Result<SecretTable, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    write.open_table(SECRETS)?;
    write.open_table(META)?;
    write.commit()?;

    let read = database.begin_read()?;
    let version = read.open_table(META)?.get(VERSION)?.map_or(0, |version| version.value());
    let mut records = BTreeMap::new();
    for entry in read.open_table(SECRETS)?.iter()? {
        let (name, json) = entry?;
        let corrupted = |error: &dyn std::fmt::Display| {
            redb::Error::Corrupted(format!("the record of secret `{}`: {error}", name.value()))
        };
        let known: SecretName = name.value().parse().map_err(|error| corrupted(&error))?;
        let record = serde_json::from_slice(json.value()).map_err(|error| corrupted(&error))?;
        records.insert(known, Arc::new(record));
    }
    Ok(SecretTable { version, is_known: true, records })
}

#[async_trait]
impl Secrets for EmbeddedSecrets {
    fn watch(&self) -> watch::Receiver<Arc<SecretTable>> {
        self.store.newest.subscribe()
    }

    async fn last_version(&self, name: &SecretName) -> Result<u64, SecretError> {
        Ok(self.store.newest.borrow().records.get(name).map_or(0, |record| record.version))
    }

    /// Runs where it may block, and to its end even if the caller goes away.
    async fn put(&self, name: &SecretName, record: SecretRecord) -> Result<Put, SecretError> {
        let (store, name) = (self.store.clone(), name.clone());
        let put = tokio::task::spawn_blocking(move || store.put(&name, record));
        put.await.map_err(|error| SecretError::Unknown(format!("the write was broken off: {error}")))?
    }
}
