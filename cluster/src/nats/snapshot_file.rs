//! The last known tables on disk, so that a process can start and serve while NATS is away.
//!
//! Each is written by a task of its own, a little after the table changed; read once, at start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::durable::write_private;

/// Changes that follow each other this closely are written once.
const PAUSE: Duration = Duration::from_millis(200);

/// What is kept of a table.
pub(super) trait Known: Serialize + DeserializeOwned + PartialEq + Send + 'static {
    /// The file's name.
    const FILE: &'static str;
    /// The table that it is kept of.
    type Table: Send + Sync + 'static;

    /// What is worth keeping; the file is written when this changes.
    fn of(table: &Self::Table) -> Self;

    /// Whether nothing in it would break what relies on it.
    fn is_whole(&self) -> bool {
        true
    }
}

/// What an earlier run left, if it left something that can be read. Blocks on the disk.
pub(super) fn read<K: Known>(dir: &Path) -> Option<K> {
    let file = dir.join(K::FILE);
    let json = match std::fs::read(&file) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the last known table cannot be read");
            return None;
        }
    };
    match serde_json::from_slice::<K>(&json) {
        Ok(known) if known.is_whole() => Some(known),
        Ok(_) => {
            tracing::warn!(file = %file.display(), "the last known table is not whole");
            None
        }
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the last known table cannot be read");
            None
        }
    }
}

/// Writes every change to disk, until it is aborted or the table is gone.
pub(super) async fn keep<K: Known>(dir: PathBuf, mut newest: watch::Receiver<Arc<K::Table>>) {
    let file = dir.join(K::FILE);
    let mut written = None;
    while newest.changed().await.is_ok() {
        let known = K::of(&newest.borrow_and_update());
        if written.as_ref() != Some(&known) {
            written = write(dir.clone(), known).await.map_or_else(
                |error| {
                    tracing::warn!(file = %file.display(), %error, "the last known table cannot be written");
                    None
                },
                Some,
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn write<K: Known>(dir: PathBuf, known: K) -> io::Result<K> {
    let write = move || write_private(&dir, K::FILE, &serde_json::to_vec(&known)?).map(|()| known);
    tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
}
