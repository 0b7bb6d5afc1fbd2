//! One commit of the registry: decided on the table, made to fit into a message, and published until it is known what became
//! of it.
//!
//! A commit is decided on a table that is complete up to sequence `n`, and is published with the condition that the
//! stream's last sequence still is `n`. So it can only ever become message `n + 1`, two commits decided on the same table
//! cannot both happen, and routes cannot clash. The sequence is the snapshot's version, the same in every process.
//!
//! When the answer stays out, the same message is sent again under the same condition. Whatever comes back decides: an
//! acknowledgement means that one of the copies is message `n + 1`; a conflict means that `n + 1` is taken, and reading it
//! tells by whom. Either way the stream has moved past `n`, so that a copy which is still on its way can never be applied.
//! Only when no answer comes at all, the outcome is unknown.
//!
//! A deploy claims its artifact after it was decided and before it is published, and whoever collects artifacts first writes
//! a [`FENCE`] into the stream. So a collection either knows of the deploy, or the deploy was decided after the fence, and
//! then so was the claim; one that was decided before finds its sequence taken, however late its message arrives.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout_at};

use samovar_model::{Digest, FunctionName, FunctionState, RevisionNumber};

use super::buckets::Buckets;
use super::connection::is_conflict;
use super::entry::Entry;
use super::record::stored_at;
use super::table::{FENCE, Table, View};
use super::watcher::Follower as _;
use super::{Nats, record};
use crate::{Deployment, NewRevision, RegistryError, Settled, rules};

/// How often a commit is decided anew when others came first.
const ATTEMPTS: usize = 20;
/// How long to wait for the watch before it is started anew.
const LAG: Duration = Duration::from_millis(500);
/// What the condition takes of a message, at most.
const HEADERS: usize = 256;
/// The pause before something that failed at once is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What commits work with.
pub(super) struct Shared {
    pub(super) nats: Nats,
    pub(super) table: Arc<Table>,
    pub(super) behind: Arc<Notify>,
    /// One commit of this process at a time: two would only be in each other's way.
    pub(super) turn: Mutex<()>,
}

/// What a commit is to do.
pub(super) enum Change {
    Deploy(Box<NewRevision>),
    Rollback(Option<RevisionNumber>),
    Delete,
}

/// A commit that is over.
pub(super) struct Committed {
    /// The function as the commit left it; absent after a delete.
    function: Option<Arc<FunctionState>>,
    changed: bool,
    pub(super) version: u64,
}

/// How publishing ended.
enum Published {
    /// It is message `n + 1`.
    Stored,
    /// Another commit is, and this one can never be.
    Overtaken,
}

impl Committed {
    /// What is told of it.
    pub(super) fn deployment(self, name: &FunctionName) -> Result<Deployment, RegistryError> {
        let function = self.function.ok_or_else(|| RegistryError::NoFunction(name.clone()))?;
        Ok(Deployment { function, changed: self.changed, version: self.version })
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
    pub(super) async fn commit(&self, name: &FunctionName, change: &Change) -> Result<Committed, RegistryError> {
        let deadline = Instant::now() + self.nats.config().commit_timeout;
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(RegistryError::Unavailable("earlier commits wait for NATS".to_owned()));
        };
        for _ in 0..ATTEMPTS {
            let limit = self.catch_up(deadline).await?;
            let Some(view) = self.table.view(name)? else { continue };
            let before = view.snapshot.version;
            let Some(mut entry) = change.decide(name, &view)? else {
                let function = view.snapshot.functions.get(name).cloned();
                return Ok(Committed { function, changed: false, version: before });
            };
            let answered = view.snapshot.functions.get(name).map(|function| function.current);
            let value = entry.fit(answered, limit)?;
            if let Change::Deploy(new) = change {
                self.claim(&new.artifact, deadline).await?;
            }
            match self.publish(name, &entry.operation, value, before, deadline).await? {
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
    pub(super) async fn live(&self, deadline: Instant) -> Result<(), RegistryError> {
        while self.table.version().is_none() {
            if Instant::now() >= deadline {
                let reason = self.nats.ready().await.err().map_or("no table yet".to_owned(), |error| error.to_string());
                return Err(RegistryError::Unavailable(reason));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until the table shows everything that is committed by now. Answers how many bytes an entry may have.
    async fn catch_up(&self, deadline: Instant) -> Result<usize, RegistryError> {
        let ready = timeout_at(deadline, self.nats.ready()).await;
        ready.map_err(|_| unavailable("NATS does not answer"))?.map_err(unavailable)?;
        self.live(deadline).await?;
        let answer = timeout_at(deadline, self.nats.functions()).await;
        let answer = answer.map_err(|_| unavailable("the registry's stream does not answer"))?;
        let stream = answer.map_err(unavailable)?;
        let info = stream.cached_info();
        self.shown(info.state.last_sequence, deadline).await?;
        // A stream without a limit of its own has -1, or 0.
        let own = usize::try_from(info.config.max_message_size).ok().filter(|limit| *limit > 0);
        Ok(own.unwrap_or(usize::MAX).min(self.nats.client().max_payload()).saturating_sub(HEADERS))
    }

    /// Waits until the table shows everything up to this sequence.
    async fn shown(&self, sequence: u64, deadline: Instant) -> Result<(), RegistryError> {
        let mut watch = self.table.watch();
        loop {
            let soon = deadline.min(Instant::now() + LAG);
            match timeout_at(soon, watch.wait_for(|snapshot| snapshot.version >= sequence)).await {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() >= deadline => return Err(unavailable("the watch does not catch up")),
                Err(_) => self.behind.notify_one(),
            }
        }
    }

    /// Sees to it that hosts can get the artifact until this deploy has committed.
    async fn claim(&self, artifact: &Digest, deadline: Instant) -> Result<(), RegistryError> {
        match timeout_at(deadline, record::claim(&self.nats, artifact)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(RegistryError::NoArtifact(*artifact)),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => Err(unavailable("the artifact store does not answer")),
        }
    }

    /// Everything that is committed, when no commit that was decided earlier can be stored any more.
    pub(super) async fn settled(&self) -> Result<Settled, RegistryError> {
        let deadline = Instant::now() + self.nats.config().commit_timeout;
        self.nats.ready().await.map_err(unavailable)?;
        self.live(deadline).await?;
        let fence = async {
            // Whoever removes what this table does not refer to must not do so in another cluster's store.
            self.nats.functions().await.map_err(unavailable)?;
            let Buckets { functions, .. } = self.nats.buckets();
            let value = serde_json::to_vec(&entry(0, None)?).map_err(unavailable)?;
            let sent = self.nats.jetstream().publish(functions.subject(FENCE), value.into()).await;
            let sequence = sent.map_err(unavailable)?.await.map_err(unavailable)?.sequence;
            let stream = self.nats.jetstream().get_stream_no_info(&functions.stream).await.map_err(unavailable)?;
            let stored = stream.get_raw_message(sequence).await.map_err(unavailable)?;
            Ok::<_, RegistryError>((sequence, stored_at(&stored)))
        };
        let (sequence, at) =
            timeout_at(deadline, fence).await.map_err(|_| unavailable("no answer from NATS in time"))??;
        self.shown(sequence, deadline).await?;
        let snapshot = self.table.whole()?.ok_or_else(|| unavailable("no table yet"))?;
        Ok(Settled { snapshot, at })
    }

    /// Publishes the entry as message `before + 1`, or learns that another is.
    async fn publish(
        &self,
        name: &FunctionName,
        operation: &str,
        value: Bytes,
        before: u64,
        deadline: Instant,
    ) -> Result<Published, RegistryError> {
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
                PublishErrorKind::WrongLastSequence => return self.settle(operation, before + 1, deadline).await,
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => open = true,
                // Nothing is stored of this copy, whatever the reason; but an earlier one may be.
                _ if open => {}
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
    async fn settle(&self, operation: &str, sequence: u64, deadline: Instant) -> Result<Published, RegistryError> {
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
                    let ours = stored.operation == operation;
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
