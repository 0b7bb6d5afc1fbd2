//! The secrets of a process that has the keys: what the control API sets, and what functions read.

use std::sync::Arc;

use jiff::Timestamp;
use samovar_model::SecretName;
use samovar_model::api::{KeyState, SecretSummary};
use tokio::sync::watch;

use super::{Put, Sealed, SecretError, SecretKeys, SecretRecord, SecretTable, SecretValue, Secrets};

/// How often a write is tried again that another process's write of the same name came before.
const ATTEMPTS: usize = 20;

/// A store with the keys to it.
pub struct Vault {
    store: Arc<dyn Secrets>,
    newest: watch::Receiver<Arc<SecretTable>>,
    /// Or what to do to have some.
    keys: Result<SecretKeys, String>,
}

impl Vault {
    /// A vault over this store. Without keys, secrets can be listed and removed, and the text is what is told to those who want
    /// more: it says how to give the process a key.
    pub fn new(store: Arc<dyn Secrets>, keys: Result<SecretKeys, String>) -> Arc<Self> {
        let newest = store.watch();
        Arc::new(Self { store, newest, keys })
    }

    /// The newest value of a secret, as this process knows it. Does not wait for anything; one value of a few dozen bytes takes
    /// about a microsecond.
    ///
    /// # Errors
    /// When it is not set, cannot be opened, or the store has not told yet what is in it.
    pub fn read(&self, name: &SecretName) -> Result<SecretValue, SecretError> {
        let keys = self.keys()?;
        let (record, is_known) = {
            let table = self.newest.borrow();
            (table.find(name).cloned(), table.is_known)
        };
        match record.as_deref() {
            Some(SecretRecord { version, sealed: Some(sealed), .. }) => keys.open(name, *version, sealed),
            _ if !is_known => Err(SecretError::Unavailable("it has not told yet which secrets there are".to_owned())),
            _ => Err(SecretError::NotSet(name.clone())),
        }
    }

    /// Why secrets cannot be read or set here, where that is so.
    ///
    /// # Errors
    /// [`SecretError::NoKey`].
    pub fn keys(&self) -> Result<&SecretKeys, SecretError> {
        self.keys.as_ref().map_err(|help| SecretError::NoKey(help.clone()))
    }

    /// Whether the secret is set, as far as this process knows.
    pub fn is_set(&self, name: &SecretName) -> bool {
        self.newest.borrow().find(name).is_some()
    }

    /// What is set, by name. Who is granted it is for those to add who know.
    pub fn list(&self) -> Vec<SecretSummary> {
        let state = |key| match &self.keys {
            Ok(keys) if keys.current() == key => KeyState::Current,
            Ok(keys) if keys.has(key) => KeyState::Older,
            _ => KeyState::Missing,
        };
        let table = self.newest.borrow().clone();
        let summary = |(name, record, sealed): (&SecretName, &SecretRecord, &Sealed)| SecretSummary {
            name: name.clone(),
            version: record.version,
            set: record.set,
            key: state(sealed.key()),
            granted_to: Vec::new(),
        };
        table.all().map(summary).collect()
    }

    /// Sets a secret: durable when this returns. Answers its version.
    ///
    /// # Errors
    /// When there is no key, or the store cannot be written.
    pub async fn set(&self, name: &SecretName, value: &SecretValue) -> Result<u64, SecretError> {
        self.keys()?;
        self.write(name, |last| self.seal(name, last.saturating_add(1), value)).await
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// When it is not set, or the store cannot be written.
    pub async fn remove(&self, name: &SecretName) -> Result<(), SecretError> {
        let removed = self.write(name, |last| match self.newest.borrow().find(name) {
            Some(_) => Ok(SecretRecord { version: last.saturating_add(1), set: Timestamp::now(), sealed: None }),
            None => Err(SecretError::NotSet(name.clone())),
        });
        removed.await.map(drop)
    }

    /// Seals everything anew that is not sealed with the current key, without changing a value. Answers the names.
    ///
    /// # Errors
    /// At the first that cannot be opened or written; those before it are done.
    pub async fn reseal(&self) -> Result<Vec<SecretName>, SecretError> {
        let keys = self.keys()?;
        let table = self.newest.borrow().clone();
        let mut resealed = Vec::new();
        for (name, record, sealed) in table.all().filter(|(.., sealed)| sealed.key() != keys.current()) {
            let value = keys.open(name, record.version, sealed)?;
            let anew = self.seal(name, record.version.saturating_add(1), &value)?;
            // Whoever has set it meanwhile has sealed another value.
            if self.store.put(name, anew).await? == Put::Done {
                resealed.push(name.clone());
            }
        }
        Ok(resealed)
    }

    /// Says in the log which secrets this process cannot open, whenever these are others than before, and for as long as there is a
    /// store.
    pub async fn tell_of_other_keys(self: Arc<Self>) {
        let (mut newest, mut told) = (self.newest.clone(), Vec::new());
        loop {
            newest.mark_unchanged();
            let missing = self.list().into_iter().filter(|secret| secret.key == KeyState::Missing);
            let missing: Vec<_> = missing.map(|secret| secret.name.to_string()).collect();
            if missing != told && !missing.is_empty() {
                let help = match &self.keys {
                    Ok(_) => {
                        "they are encrypted with a key that this process has not got: give it the key file of the others"
                    }
                    Err(help) => help,
                };
                tracing::error!(secrets = missing.join(", "), "secrets cannot be read here: {help}");
            }
            told = missing;
            if newest.changed().await.is_err() {
                return;
            }
        }
    }

    fn seal(&self, name: &SecretName, version: u64, value: &SecretValue) -> Result<SecretRecord, SecretError> {
        let sealed = self.keys()?.seal(name, version, value);
        let sealed = sealed.map_err(|error| SecretError::Unavailable(error.to_string()))?;
        Ok(SecretRecord { version, set: Timestamp::now(), sealed: Some(sealed) })
    }

    /// Makes the record that follows the last one, and writes it, until nobody comes in between.
    async fn write(
        &self,
        name: &SecretName,
        make: impl Fn(u64) -> Result<SecretRecord, SecretError> + Send,
    ) -> Result<u64, SecretError> {
        for _ in 0..ATTEMPTS {
            let record = make(self.store.last_version(name).await?)?;
            let version = record.version;
            if self.store.put(name, record).await? == Put::Done {
                return Ok(version);
            }
        }
        Err(SecretError::Unavailable(format!("{ATTEMPTS} times another process wrote `{name}` first")))
    }
}
