//! Sealed secrets in JetStream: one key for each name, written by compare-and-set, read by nobody but those who have the keys.
//!
//! A record is published with the condition that the subject's last message is the one that was read before. When the answer
//! stays out, the same record is sent again under the same condition: a conflict then means that either this record is there
//! (a nonce tells it from every other) or another one is.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_trait::async_trait;
use bytes::Bytes;
use samovar_model::SecretName;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::is_conflict;
use super::secret_table::{KnownSecrets, SecretsTable};
use super::snapshot_file;
use super::watcher::Watcher;
use super::{Nats, NatsError};
use crate::embedded::DataDir;
use crate::secrets::{Put, SecretError, SecretRecord, SecretTable, Secrets};

/// The pause before something that failed at once is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for the watch before it is started anew.
const LAG: Duration = Duration::from_millis(500);

/// The sealed secrets that many processes share. Clones share everything.
#[derive(Clone)]
pub struct NatsSecrets {
    nats: Nats,
    table: Arc<SecretsTable>,
    behind: Arc<Notify>,
    /// The watcher, and who keeps the last known table.
    _tasks: Arc<JoinSet<()>>,
    /// Keeps the directory of the last known table locked.
    _dir: DataDir,
}

impl NatsSecrets {
    /// Takes the table from NATS; or, while NATS is away, the sealed one that this directory's last user left, if there is one. Then
    /// the process does without secrets until NATS is back.
    pub async fn open(nats: &Nats, dir: &DataDir) -> Self {
        let path = dir.path().to_owned();
        let known = tokio::task::spawn_blocking(move || snapshot_file::read::<KnownSecrets>(&path)).await;
        let table = Arc::new(SecretsTable::new(known.ok().flatten()));
        let (behind, bucket) = (Arc::new(Notify::new()), nats.buckets().secrets.clone());
        let watcher = Watcher { nats: nats.clone(), bucket, table: table.clone(), behind: behind.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(snapshot_file::keep::<KnownSecrets>(dir.path().to_owned(), table.watch()));
        tasks.spawn(watcher.run());
        let secrets = Self { nats: nats.clone(), table, behind, _tasks: Arc::new(tasks), _dir: dir.clone() };
        let config = nats.config();
        let patience = if nats.is_connected() { config.patience } else { config.away_patience.min(config.patience) };
        if let Err(error) = secrets.table.live(Instant::now() + patience).await {
            tracing::warn!(%error, "going on with the last known secrets");
        }
        secrets
    }

    /// The last message of a name, by the word of the stream's leader.
    async fn last(&self, name: &SecretName) -> Result<Option<StreamMessage>, SecretError> {
        let read = async {
            self.nats.ready().await?;
            let stream = self.nats.stream(&self.nats.buckets().secrets).await?;
            match stream.get_last_raw_message_by_subject(&self.subject(name)).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(NatsError::Store(error.to_string())),
            }
        };
        let late = |_| SecretError::Unavailable("no answer from NATS in time".to_owned());
        let read = timeout_at(Instant::now() + self.nats.config().commit_timeout, read).await.map_err(late)?;
        read.map_err(|error| SecretError::Unavailable(error.to_string()))
    }

    fn subject(&self, name: &SecretName) -> String {
        self.nats.buckets().secrets.subject(name.as_str())
    }

    async fn write(&self, name: &SecretName, record: &SecretRecord) -> Result<Put, SecretError> {
        let last = self.last(name).await?;
        let version = last.as_ref().map_or(Ok(0), |message| read(name, message).map(|last| last.version))?;
        if record.version.checked_sub(1) != Some(version) {
            return Ok(Put::Outdated);
        }
        let before = last.map_or(0, |message| message.sequence);
        let json = serde_json::to_vec(record).map_err(|error| SecretError::Unavailable(error.to_string()))?;
        let deadline = Instant::now() + self.nats.config().commit_timeout;
        match self.publish(name, json.into(), before, deadline).await? {
            Some(sequence) => {
                self.shown(sequence, deadline).await;
                Ok(Put::Done)
            }
            None => Ok(Put::Outdated),
        }
    }

    /// Publishes a record behind the message `before`. Answers its sequence, or none when another one came first.
    async fn publish(
        &self,
        name: &SecretName,
        value: Bytes,
        before: u64,
        deadline: Instant,
    ) -> Result<Option<u64>, SecretError> {
        // Whether a copy was sent whose answer never came.
        let mut open = false;
        loop {
            let error = match timeout_at(deadline, self.send(name, value.clone(), before)).await {
                Ok(Ok(sequence)) => return Ok(Some(sequence)),
                Ok(Err(error)) => error,
                Err(_) => return Err(SecretError::Unknown("no answer from NATS in time".to_owned())),
            };
            match error.kind() {
                _ if !open && is_conflict(&error) => return Ok(None),
                PublishErrorKind::WrongLastSequence => return self.settle(name, &value).await,
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => open = true,
                // Nothing is stored of this copy, whatever the reason; but an earlier one may be.
                _ if open => {}
                _ => return Err(SecretError::Unavailable(error.to_string())),
            }
            sleep(PAUSE).await;
        }
    }

    async fn send(&self, name: &SecretName, value: Bytes, before: u64) -> Result<u64, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, before.to_string().as_str());
        let sent = self.nats.jetstream().publish_with_headers(self.subject(name), headers, value).await?;
        Ok(sent.await?.sequence)
    }

    /// Whether the name's last message is this one. Where it is not, this one may have been there for a while.
    async fn settle(&self, name: &SecretName, value: &Bytes) -> Result<Option<u64>, SecretError> {
        let unknown = |error: SecretError| SecretError::Unknown(error.to_string());
        match self.last(name).await.map_err(unknown)? {
            Some(message) if message.payload == *value => Ok(Some(message.sequence)),
            _ => Err(SecretError::Unknown(format!("another process has written `{name}` at the same time"))),
        }
    }

    /// Waits until this process's table has what it wrote. It is stored in any case.
    async fn shown(&self, sequence: u64, deadline: Instant) {
        let mut watch = self.table.watch();
        while Instant::now() < deadline {
            let soon = deadline.min(Instant::now() + LAG);
            match timeout_at(soon, watch.wait_for(|table| table.version >= sequence)).await {
                Ok(_) => return,
                Err(_) => self.behind.notify_one(),
            }
        }
    }
}

fn read(name: &SecretName, message: &StreamMessage) -> Result<SecretRecord, SecretError> {
    serde_json::from_slice(&message.payload).map_err(|error| {
        let reason = format!("the record of `{name}` cannot be read ({error}); use the samovar that wrote it");
        SecretError::Unavailable(reason)
    })
}

#[async_trait]
impl Secrets for NatsSecrets {
    fn watch(&self) -> watch::Receiver<Arc<SecretTable>> {
        self.table.watch()
    }

    async fn last_version(&self, name: &SecretName) -> Result<u64, SecretError> {
        let last = self.last(name).await?;
        last.map_or(Ok(0), |message| read(name, &message).map(|record| record.version))
    }

    /// Runs to its end even if the caller goes away.
    async fn put(&self, name: &SecretName, record: SecretRecord) -> Result<Put, SecretError> {
        let (store, name) = (self.clone(), name.clone());
        let put = tokio::spawn(async move { store.write(&name, &record).await });
        put.await.map_err(|error| SecretError::Unknown(format!("the write was broken off: {error}")))?
    }
}
