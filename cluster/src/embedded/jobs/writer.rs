//! The thread that writes. What has come while it was committing is committed together, with one sync of the disk.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use redb::{Database, Durability, Error};
use tokio::sync::mpsc;

use super::tables::Tables;
use crate::jobs::JobsError;

/// The most changes of one commit.
const MOST: usize = 1024;

/// Something that is written.
pub(super) trait Change: Send + 'static {
    /// Writes it. An error breaks off the whole commit: what the change refuses by itself, it keeps for [`Change::told`].
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<(), Error>;

    /// Hears whether it is on disk, after those before it, and before those behind it.
    fn told(self: Box<Self>, committed: Result<(), JobsError>);
}

/// The way to the thread, which ends when this is dropped; by then it has let go of the database.
pub(super) struct Writer {
    /// Absent only while it is being dropped.
    changes: Option<mpsc::Sender<Box<dyn Change>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn spawn(database: Arc<Database>) -> io::Result<Self> {
        let (sender, mut changes) = mpsc::channel(MOST);
        let run = move || {
            let mut batch: Vec<Box<dyn Change>> = Vec::new();
            while changes.blocking_recv_many(&mut batch, MOST) > 0 {
                commit(&database, &mut batch);
            }
        };
        let thread = std::thread::Builder::new().name("samovar-jobs".to_owned()).spawn(run)?;
        Ok(Self { changes: Some(sender), thread: Some(thread) })
    }

    /// Hands a change over.
    ///
    /// # Errors
    /// When the thread is gone. The change was dropped.
    pub(super) async fn send(&self, change: Box<dyn Change>) -> Result<(), JobsError> {
        let stopped = || JobsError::Unavailable("its writer has stopped; see the log, and start again".to_owned());
        let changes = self.changes.as_ref().ok_or_else(stopped)?;
        changes.send(change).await.map_err(|_| stopped())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.changes.take());
        // The last one to let go of the store may be a change that the thread itself has just written.
        let thread = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of jobs crashed");
        }
    }
}

fn commit(database: &Database, batch: &mut Vec<Box<dyn Change>>) {
    let committed = try_commit(database, batch);
    if let Err(error) = &committed {
        tracing::error!(%error, changes = batch.len(), "jobs cannot be stored");
    }
    for change in batch.drain(..) {
        change.told(committed.clone());
    }
}

fn try_commit(database: &Database, batch: &mut [Box<dyn Change>]) -> Result<(), JobsError> {
    let unavailable = |error: Error| JobsError::Unavailable(error.to_string());
    let mut write = database.begin_write().map_err(|error| unavailable(error.into()))?;
    write.set_durability(Durability::Immediate).map_err(|error| unavailable(error.into()))?;
    let mut tables = Tables::open(&write).map_err(unavailable)?;
    for change in batch {
        change.apply(&mut tables).map_err(unavailable)?;
    }
    drop(tables);
    // A commit that fails here may still have reached the disk.
    write.commit().map_err(|error| JobsError::Unknown(error.to_string()))
}
