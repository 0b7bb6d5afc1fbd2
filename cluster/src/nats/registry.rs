//! The registry in JetStream: one key for each function, committed by compare-and-set on the whole stream.
//!
//! How a commit is made, and why none is lost or done twice, is in `commit.rs`; the table that everyone reads is in `table.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use samovar_model::{FunctionName, RevisionNumber};

use super::Nats;
use super::commit::{Change, Committed, Shared};
use super::snapshot_file::{self, Known as _};
use super::table::{KnownFunctions, Table};
use super::watcher::Watcher;
use crate::embedded::DataDir;
use crate::{Deployment, NewRevision, Registry, RegistryError, Settled, Snapshot};

/// The registry that many processes share.
pub struct NatsRegistry {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
    /// Keeps the directory of the last known table locked.
    _dir: DataDir,
}

impl NatsRegistry {
    /// Whether this directory has a table that its last user left.
    pub fn is_known(dir: &DataDir) -> bool {
        dir.path().join(KnownFunctions::FILE).exists()
    }

    /// Takes the table from NATS; or, while NATS is away, the one that this directory's last user left.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`] when there is neither.
    pub async fn open(nats: &Nats, dir: &DataDir) -> Result<Self, RegistryError> {
        let path = dir.path().to_owned();
        let known = tokio::task::spawn_blocking(move || snapshot_file::read::<KnownFunctions>(&path)).await;
        let known = known.map_err(|error| RegistryError::Unavailable(error.to_string()))?;
        let from_disk = known.is_some();
        let table = Arc::new(Table::new(known.map(Snapshot::from).unwrap_or_default()));
        let behind = Arc::new(Notify::new());
        let bucket = nats.buckets().functions.clone();
        let watcher = Watcher { nats: nats.clone(), bucket, table: table.clone(), behind: behind.clone() };
        let keep = snapshot_file::keep::<KnownFunctions>(dir.path().to_owned(), table.watch());
        let tasks = [tokio::spawn(keep), tokio::spawn(watcher.run())];
        let shared = Arc::new(Shared { nats: nats.clone(), table, behind, turn: Mutex::default() });
        let registry = Self { shared, tasks, _dir: dir.clone() };
        let config = nats.config();
        let patience = if nats.is_connected() { config.patience } else { config.away_patience.min(config.patience) };
        let deadline = Instant::now() + patience;
        match registry.shared.live(deadline).await {
            Err(error) if !from_disk => Err(error),
            Err(error) => {
                tracing::warn!(%error, "serving the last known table");
                Ok(registry)
            }
            Ok(()) => Ok(registry),
        }
    }

    /// Runs a commit on a task of its own: it runs to its end even if the caller goes away.
    async fn commit(&self, name: &FunctionName, change: Change) -> Result<Committed, RegistryError> {
        let (shared, name) = (self.shared.clone(), name.clone());
        let commit = tokio::spawn(async move { shared.commit(&name, &change).await });
        commit.await.map_err(|error| RegistryError::Unknown(format!("the commit was broken off: {error}")))?
    }
}

impl Drop for NatsRegistry {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[async_trait]
impl Registry for NatsRegistry {
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.table.watch()
    }

    async fn settled(&self) -> Result<Settled, RegistryError> {
        self.shared.settled().await
    }

    async fn deploy(&self, name: &FunctionName, new: NewRevision) -> Result<Deployment, RegistryError> {
        self.commit(name, Change::Deploy(Box::new(new))).await?.deployment(name)
    }

    async fn rollback(&self, name: &FunctionName, number: Option<RevisionNumber>) -> Result<Deployment, RegistryError> {
        self.commit(name, Change::Rollback(number)).await?.deployment(name)
    }

    async fn delete(&self, name: &FunctionName) -> Result<u64, RegistryError> {
        Ok(self.commit(name, Change::Delete).await?.version)
    }
}
