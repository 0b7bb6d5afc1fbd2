//! The registry in JetStream: one key for each function, committed by compare-and-set on the whole stream.
//!
//! A commit is decided on a table that is complete up to sequence `n`, and is published with the condition that the
//! stream's last sequence still is `n`. So it can only ever become message `n + 1`, two commits decided on the same table
//! cannot both happen, and routes cannot clash. The sequence is the snapshot's version, the same in every process.
//!
//! When the answer stays out, the same message is sent again under the same condition. Whatever comes back decides: an
//! acknowledgement means that one of the copies is message `n + 1`; a conflict means that `n + 1` is taken, and reading it
//! tells by whom. Either way the stream has moved past `n`, so that a copy which is still on its way can never be applied.
//! Only when no answer comes at all, the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use samovar_model::{FunctionName, FunctionState, RevisionNumber};

use super::Nats;
use super::connection::is_conflict;
use super::entry::Entry;
use super::snapshot_file::{self, Known as _};
use super::table::{KnownFunctions, Table, View};
use super::watcher::{Follower as _, Watcher};
use crate::embedded::DataDir;
use crate::{Deployment, NewRevision, Registry, RegistryError, Snapshot, rules};

/// How often a commit is decided anew when others came first.
const ATTEMPTS: usize = 20;
/// How long to wait for the watch before it is started anew.
const LAG: Duration = Duration::from_millis(500);
/// The pause before something that failed at once is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// The registry that many processes share.
pub struct NatsRegistry {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
    /// Keeps the directory of the last known table locked.
    _dir: DataDir,
}

struct Shared {
    nats: Nats,
    table: Arc<Table>,
    behind: Arc<Notify>,
    /// One commit of this process at a time: two would only be in each other's way.
    turn: Mutex<()>,
}

/// What a commit is to do.
enum Change {
    Deploy(Box<NewRevision>),
    Rollback(Option<RevisionNumber>),
    Delete,
}

/// A commit that is over.
struct Committed {
    /// The function as the commit left it; absent after a delete.
    function: Option<Arc<FunctionState>>,
    changed: bool,
    version: u64,
}

/// How publishing ended.
enum Published {
    /// It is message `n + 1`.
    Stored,
    /// Another commit is, and this one can never be.
    Overtaken,
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
        let deadline = Instant::now() + nats.config().patience;
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

impl Change {
    /// The entry that the change makes of what is there, or `None` when there is nothing to change.
    fn decide(&self, name: &FunctionName, view: &View) -> Result<Option<Entry>, RegistryError> {
        let before = &view.snapshot;
        let function = match self {
            Self::Deploy(new) => rules::deploy(before, name, NewRevision::clone(new), view.last)?,
            Self::Rollback(number) => rules::rollback(before, name, *number)?,
            Self::Delete if before.functions.contains_key(name) => return entry(view.last, None).map(Some),
            Self::Delete => return Err(RegistryError::NoFunction(name.clone())),
        };
        let newest = |function: &FunctionState| function.revisions.iter().map(|revision| revision.number.0).max();
        function.map(|function| entry(newest(&function).unwrap_or(0).max(view.last), Some(function))).transpose()
    }
}

fn entry(last: u64, function: Option<FunctionState>) -> Result<Entry, RegistryError> {
    let operation = Entry::new_operation().map_err(|error| RegistryError::Unavailable(error.to_string()))?;
    Ok(Entry { operation, last, function })
}

impl Shared {
    async fn commit(&self, name: &FunctionName, change: &Change) -> Result<Committed, RegistryError> {
        let deadline = Instant::now() + self.nats.config().commit_timeout;
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(RegistryError::Unavailable("earlier commits wait for NATS".to_owned()));
        };
        for _ in 0..ATTEMPTS {
            self.catch_up(deadline).await?;
            let Some(view) = self.table.view(name)? else { continue };
            let before = view.snapshot.version;
            let Some(entry) = change.decide(name, &view)? else {
                let function = view.snapshot.functions.get(name).cloned();
                return Ok(Committed { function, changed: false, version: before });
            };
            match self.publish(name, &entry, before, deadline).await? {
                Published::Overtaken => continue,
                Published::Stored => {}
            }
            let version = before + 1;
            let function = entry.function.clone().map(Arc::new);
            self.table.committed(name, entry, version);
            return Ok(Committed { function, changed: true, version });
        }
        Err(RegistryError::Unavailable(format!("{ATTEMPTS} times another process's commit came first")))
    }

    /// Waits until the table is taken from NATS.
    async fn live(&self, deadline: Instant) -> Result<(), RegistryError> {
        while self.table.version().is_none() {
            if Instant::now() >= deadline {
                let reason = self.nats.ready().await.err().map_or("no table yet".to_owned(), |error| error.to_string());
                return Err(RegistryError::Unavailable(reason));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until the table shows everything that is committed by now.
    async fn catch_up(&self, deadline: Instant) -> Result<(), RegistryError> {
        self.nats.ready().await.map_err(|error| RegistryError::Unavailable(error.to_string()))?;
        self.live(deadline).await?;
        let stream = &self.nats.buckets().functions.stream;
        let answer = timeout_at(deadline, self.nats.jetstream().get_stream(stream)).await;
        let answer = answer.map_err(|_| unavailable("the registry's stream does not answer"))?;
        let last = answer.map_err(unavailable)?.cached_info().state.last_sequence;
        let mut watch = self.table.watch();
        loop {
            let soon = deadline.min(Instant::now() + LAG);
            match timeout_at(soon, watch.wait_for(|snapshot| snapshot.version >= last)).await {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() >= deadline => return Err(unavailable("the watch does not catch up")),
                Err(_) => self.behind.notify_one(),
            }
        }
    }

    /// Publishes the entry as message `before + 1`, or learns that another is.
    async fn publish(
        &self,
        name: &FunctionName,
        entry: &Entry,
        before: u64,
        deadline: Instant,
    ) -> Result<Published, RegistryError> {
        let value = Bytes::from(serde_json::to_vec(entry).map_err(unavailable)?);
        // Whether a copy was sent whose answer never came.
        let mut open = false;
        loop {
            let error = match timeout_at(deadline, self.send(name, value.clone(), before)).await {
                Ok(Ok(())) => return Ok(Published::Stored),
                Ok(Err(error)) => error,
                Err(_) => return Err(unknown("no answer from NATS in time")),
            };
            match error.kind() {
                _ if !open && is_conflict(&error) => return Ok(Published::Overtaken),
                PublishErrorKind::WrongLastSequence => return self.settle(entry, before + 1, deadline).await,
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => open = true,
                // The server says no, and stores nothing when it does; but an earlier copy may be stored.
                PublishErrorKind::StreamNotFound | PublishErrorKind::Other if open => {}
                PublishErrorKind::StreamNotFound
                | PublishErrorKind::Other
                | PublishErrorKind::MaxPayloadExceeded
                | PublishErrorKind::MaxAckPending
                | PublishErrorKind::WrongLastMessageId => return Err(unavailable(error)),
            }
            sleep(PAUSE).await;
        }
    }

    async fn send(&self, name: &FunctionName, value: Bytes, before: u64) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, before.to_string().as_str());
        let subject = self.nats.buckets().functions.subject(name.as_str());
        let answer = self.nats.jetstream().publish_with_headers(subject, headers, value).await?.await?;
        debug_assert_eq!(answer.sequence, before + 1, "the condition held");
        Ok(())
    }

    /// Reads the message that this commit would have become. It is there: the conflict said so.
    async fn settle(&self, entry: &Entry, sequence: u64, deadline: Instant) -> Result<Published, RegistryError> {
        let stream = &self.nats.buckets().functions.stream;
        loop {
            let read = async {
                let stream =
                    self.nats.jetstream().get_stream_no_info(stream).await.map_err(|error| error.to_string())?;
                stream.get_raw_message(sequence).await.map_err(|error| match error.kind() {
                    RawMessageErrorKind::NoMessageFound => "a later commit has replaced the one in question".to_owned(),
                    _ => error.to_string(),
                })
            };
            let failed = match timeout_at(deadline, read).await {
                Err(_) => "no answer from NATS in time".to_owned(),
                Ok(Err(error)) => error,
                Ok(Ok(message)) => {
                    let stored: Entry = serde_json::from_slice(&message.payload).map_err(unknown)?;
                    let ours = stored.operation == entry.operation;
                    return Ok(if ours { Published::Stored } else { Published::Overtaken });
                }
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(unknown(failed));
            }
            sleep(PAUSE).await;
        }
    }
}

fn unavailable(error: impl ToString) -> RegistryError {
    RegistryError::Unavailable(error.to_string())
}

fn unknown(error: impl ToString) -> RegistryError {
    RegistryError::Unknown(error.to_string())
}

#[async_trait]
impl Registry for NatsRegistry {
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.table.watch()
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

impl Committed {
    fn deployment(self, name: &FunctionName) -> Result<Deployment, RegistryError> {
        let function = self.function.ok_or_else(|| RegistryError::NoFunction(name.clone()))?;
        Ok(Deployment { function, changed: self.changed, version: self.version })
    }
}
