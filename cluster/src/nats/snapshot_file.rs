//! The last known table on disk, so that a process can start and serve while NATS is away.
//!
//! Written by a task of its own, a little after the table changed; read once, at start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use samovar_model::FunctionState;

use crate::Snapshot;
use crate::durable::write_private;

const NAME: &str = "registry.json";
/// Changes that follow each other this closely are written once.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Serialize, Deserialize)]
struct Known {
    version: u64,
    functions: Vec<Arc<FunctionState>>,
}

/// The table that an earlier run left, if there is one that can be read. Blocks on the disk.
pub(super) fn read(dir: &Path) -> Option<Snapshot> {
    let file = dir.join(NAME);
    let json = match std::fs::read(&file) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the last known table cannot be read");
            return None;
        }
    };
    match serde_json::from_slice::<Known>(&json) {
        Ok(known) if known.functions.iter().all(|function| function.revision(function.current).is_some()) => {
            let functions = known.functions.into_iter().map(|function| (function.name.clone(), function)).collect();
            Some(Snapshot { version: known.version, functions })
        }
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
pub(super) async fn keep(dir: PathBuf, mut newest: watch::Receiver<Arc<Snapshot>>) {
    while newest.changed().await.is_ok() {
        let snapshot = newest.borrow_and_update().clone();
        let target = dir.clone();
        let written = tokio::task::spawn_blocking(move || write(&target, &snapshot)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(file = %dir.join(NAME).display(), %error, "the last known table cannot be written");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn write(dir: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let known = Known { version: snapshot.version, functions: snapshot.functions.values().cloned().collect() };
    write_private(dir, NAME, &serde_json::to_vec(&known)?)
}
