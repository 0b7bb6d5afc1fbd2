//! Secrets: values that functions read by name and nobody else does.
//!
//! Two things in two places. A [`Secrets`] store keeps records whose values are sealed, and never sees one open; `embedded` and
//! `nats` are such stores. The [`Vault`] has the keys: it seals what is set, and opens what a granted function reads. Values are
//! opened at each read and not kept, so that a process's memory holds the keys and what is in use.
//!
//! A record is replaced, never changed: each write of a name has the next version, which is also sealed into the value, and a
//! name's versions go on after it was removed.

mod keys;
mod sealed;
mod value;
mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use samovar_model::SecretName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use keys::{KeyError, KeyId, SecretKeys};
pub use sealed::Sealed;
pub use value::{SecretValue, SecretValueError};
pub use vault::Vault;

/// One write of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Counts the writes of this name, removals included; the first is 1.
    pub version: u64,
    /// When it was written.
    pub set: Timestamp,
    /// The value; none where the secret was removed.
    pub sealed: Option<Sealed>,
}

/// What a store holds, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretTable {
    /// Grows with every write.
    pub version: u64,
    /// False until the store has told what is in it: before that nothing can be said of a name that is not here.
    pub is_known: bool,
    /// By name, removed ones included.
    pub records: BTreeMap<SecretName, Arc<SecretRecord>>,
}

impl SecretTable {
    /// The record of a secret that is set.
    pub fn find(&self, name: &SecretName) -> Option<&Arc<SecretRecord>> {
        self.records.get(name).filter(|record| record.sealed.is_some())
    }

    /// The names that are set, with what is sealed under them.
    pub fn all(&self) -> impl Iterator<Item = (&SecretName, &SecretRecord, &Sealed)> {
        self.records.iter().filter_map(|(name, record)| Some((name, &**record, record.sealed.as_ref()?)))
    }
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The record is stored, and this process shows it.
    Done,
    /// Somebody else has written the name meanwhile; nothing has changed.
    Outdated,
}

/// Why something could not be done with a secret. No message has a value, or a part of one, in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no such secret.
    #[error("secret `{0}` is not set: samovar secret set {0}")]
    NotSet(SecretName),
    /// This process has no key. The text says what to do.
    #[error("{0}")]
    NoKey(String),
    /// The value was sealed with a key that this process has not got.
    #[error(
        "secret `{name}` was encrypted with key {key}, which this process has not got (its own: {own}): start it with the \
         key file of the others, or set the secret again"
    )]
    OtherKey {
        /// The secret.
        name: SecretName,
        /// The key's fingerprint.
        key: KeyId,
        /// Those of the keys that there are, as a list for people.
        own: String,
    },
    /// What is stored is not what was sealed under this name and version.
    #[error("secret `{0}` is damaged in the store, or was moved there from another name: set it again")]
    Damaged(SecretName),
    /// The store cannot be reached or written: try again later.
    #[error("the store of secrets is not available: {0}")]
    Unavailable(String),
    /// It cannot be told whether the write happened: doing it again does no harm.
    #[error("it is not known whether the store of secrets has stored the change: {0}")]
    Unknown(String),
}

/// A store of sealed secrets. What it has acknowledged survives `kill -9` and power loss.
#[async_trait]
pub trait Secrets: Send + Sync + 'static {
    /// The newest table that this process knows, and its successors.
    fn watch(&self) -> watch::Receiver<Arc<SecretTable>>;

    /// The version of the last write of a name by the word of the store itself; 0 where there was none.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] when the store is away.
    async fn last_version(&self, name: &SecretName) -> Result<u64, SecretError>;

    /// Writes a record if the last one of this name is the version before it.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`], when nothing has changed, and [`SecretError::Unknown`].
    async fn put(&self, name: &SecretName, record: SecretRecord) -> Result<Put, SecretError>;
}
