//! Artifacts in an object store that every process reaches, with a copy in each process's data directory.
//!
//! An upload is written to the data directory first, verified and synced, and then copied into the object store under its
//! digest. A read answers from the data directory, and fetches what is not there: once, however many ask, and verified
//! before it gets its name; from peers, where the object store fails. What is deleted, and when, is in `garbage.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use samovar_model::Digest;

use super::connection::is_conflict;
use super::{Nats, NatsError, garbage};
use crate::embedded::{DataDir, EmbeddedArtifacts};
use crate::{ArtifactError, Artifacts, Peers, Upload};

/// How often something is tried again that another process's upload or collection got in the way of.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 256 << 10;
/// How long the search for a peer that has an artifact may take.
const SEARCH: Duration = Duration::from_secs(10);

/// The artifacts that many processes share.
pub struct NatsArtifacts {
    shared: Arc<Shared>,
}

struct Shared {
    nats: Nats,
    local: EmbeddedArtifacts,
    /// What this process uploaded, which [`Artifacts::collect`] leaves alone.
    uploaded: Mutex<BTreeSet<Digest>>,
    /// Who is asked where the object store fails.
    peers: OnceLock<Arc<dyn Peers>>,
    /// Held while an artifact is fetched, so that it is fetched once.
    fetching: Mutex<BTreeMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
}

impl NatsArtifacts {
    /// Opens the copies in a data directory. Blocks on the disk; NATS is not asked.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn open(nats: &Nats, dir: &DataDir) -> Result<Self, ArtifactError> {
        let local = EmbeddedArtifacts::open(dir)?;
        let (uploaded, fetching) = (Mutex::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { nats: nats.clone(), local, uploaded, peers: OnceLock::new(), fetching }) })
    }

    /// From now on asks these peers for artifacts that the object store cannot give. Told once: false when others were
    /// told already, which stay.
    pub fn set_peers(&self, peers: Arc<dyn Peers>) -> bool {
        self.shared.peers.set(peers).is_ok()
    }
}

/// The stream of the object store.
pub(super) async fn stream(nats: &Nats) -> Result<Stream<()>, NatsError> {
    nats.ready().await?;
    let stream = nats.jetstream().get_stream_no_info(&nats.buckets().artifacts.stream).await;
    stream.map_err(|error| NatsError::Store(error.to_string()))
}

/// The newest message of a subject, by the word of the stream's leader.
pub(super) async fn newest(stream: &Stream<()>, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(NatsError::Store(error.to_string())),
    }
}

impl Shared {
    async fn record(&self, digest: &Digest) -> Result<Option<StreamMessage>, ArtifactError> {
        let stream = stream(&self.nats).await.map_err(unavailable)?;
        let subject = self.nats.buckets().artifacts.record(&digest.to_string());
        newest(&stream, &subject).await.map_err(unavailable)
    }

    async fn store(&self) -> Result<ObjectStore, ArtifactError> {
        self.nats.ready().await.map_err(unavailable)?;
        self.nats.jetstream().get_object_store(&self.nats.buckets().artifacts.name).await.map_err(unavailable)
    }

    /// Copies a local artifact into the object store. One that is there is marked as new again instead, so that no
    /// collection takes it away before the deploy that it is uploaded for commits.
    async fn publish(&self, digest: &Digest) -> Result<(), ArtifactError> {
        for _ in 0..ATTEMPTS {
            match self.record(digest).await? {
                Some(record) if self.renew(&record).await? => return Ok(()),
                Some(_) => tokio::time::sleep(PAUSE).await,
                None => {
                    let path = self.local.file(digest).await?;
                    let file = tokio::fs::File::open(&path).await;
                    let mut file = file.map_err(|error| ArtifactError::Io { path, error })?;
                    self.store().await?.put(digest.to_string().as_str(), &mut file).await.map_err(unavailable)?;
                    return Ok(());
                }
            }
        }
        Err(unavailable(format!("other processes upload or remove artifact {digest} all the time")))
    }

    /// Writes a record again as it is; false when it has changed meanwhile.
    async fn renew(&self, record: &StreamMessage) -> Result<bool, ArtifactError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, record.sequence.to_string().as_str());
        let sent =
            self.nats.jetstream().publish_with_headers(record.subject.clone(), headers, record.payload.clone()).await;
        match sent.map_err(unavailable)?.await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Fetches an artifact into the data directory, unless another call just did.
    async fn fetch(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        let turn = {
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            fetching.retain(|_, turn| turn.strong_count() > 0);
            let turn = fetching.get(digest).and_then(Weak::upgrade).unwrap_or_default();
            fetching.insert(*digest, Arc::downgrade(&turn));
            turn
        };
        let _turn = turn.lock().await;
        if let Ok(path) = self.local.file(digest).await {
            return Ok(path);
        }
        let mut failed = self.ask_store(digest).await;
        if matches!(failed, Err(ArtifactError::Unavailable(_) | ArtifactError::Damaged(_)))
            && self.ask_peers(digest).await
        {
            return self.local.file(digest).await;
        }
        for _ in 1..ATTEMPTS {
            // Another upload of the same bytes may have replaced the chunks under the reader.
            if !matches!(failed, Err(ArtifactError::Unavailable(_))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            failed = self.ask_store(digest).await;
        }
        failed?;
        self.local.file(digest).await
    }

    async fn ask_store(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let object = match self.store().await?.get(digest.to_string()).await {
            Ok(object) => object,
            // A server that lags may not have it yet: only the leader knows that it is not there.
            Err(error) if error.kind() == GetErrorKind::NotFound => {
                return Err(match self.record(digest).await? {
                    None => ArtifactError::Missing(*digest),
                    Some(_) => unavailable(error),
                });
            }
            Err(error) => return Err(unavailable(error)),
        };
        self.keep(digest, ReaderStream::with_capacity(object, READ_BYTES)).await
    }

    /// Asks one peer after the other, until one gave the right bytes.
    async fn ask_peers(&self, digest: &Digest) -> bool {
        let Some(peers) = self.peers.get() else { return false };
        let mut sources = peers.fetch(digest);
        while let Ok(Some(bytes)) = timeout(SEARCH, sources.next()).await {
            match self.keep(digest, bytes).await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%digest, %error, "a peer's copy is of no use"),
            }
        }
        false
    }

    /// Keeps the bytes, if they are the right ones.
    async fn keep(
        &self,
        digest: &Digest,
        mut bytes: impl futures_util::Stream<Item = io::Result<Bytes>> + Unpin,
    ) -> Result<(), ArtifactError> {
        let mut upload = self.local.begin().await?;
        let patience = self.nats.config().answer_timeout;
        let late = |_| unavailable(format!("artifact {digest} does not arrive"));
        while let Some(chunk) = timeout(patience, bytes.next()).await.map_err(late)? {
            match chunk {
                Ok(chunk) => upload.write(chunk).await?,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(ArtifactError::Damaged(*digest));
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
        if upload.peek().await?.1 != *digest {
            return Err(ArtifactError::Damaged(*digest));
        }
        upload.finish().await.map(drop)
    }
}

fn unavailable(error: impl ToString) -> ArtifactError {
    ArtifactError::Unavailable(error.to_string())
}

#[async_trait]
impl Artifacts for NatsArtifacts {
    async fn begin(&self) -> Result<Box<dyn Upload>, ArtifactError> {
        let local = self.shared.local.begin().await?;
        Ok(Box::new(NatsUpload { local, shared: self.shared.clone() }))
    }

    async fn file(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        match self.shared.local.file(digest).await {
            Err(ArtifactError::Missing(_) | ArtifactError::Damaged(_)) => self.shared.fetch(digest).await,
            known => known,
        }
    }

    async fn local(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        self.shared.local.file(digest).await
    }

    async fn collect(&self, keep: &BTreeSet<Digest>) -> Result<usize, ArtifactError> {
        let mut spared = self.shared.uploaded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spared.extend(keep);
        let removed = garbage::collect(&self.shared.nats, &spared).await.map_err(unavailable)?;
        self.shared.local.collect(keep).await?;
        Ok(removed)
    }
}

struct NatsUpload {
    local: Box<dyn Upload>,
    shared: Arc<Shared>,
}

#[async_trait]
impl Upload for NatsUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), ArtifactError> {
        self.local.write(chunk).await
    }

    async fn peek(&mut self) -> Result<(PathBuf, Digest), ArtifactError> {
        self.local.peek().await
    }

    async fn finish(self: Box<Self>) -> Result<Digest, ArtifactError> {
        let Self { local, shared } = *self;
        let digest = local.finish().await?;
        shared.uploaded.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        shared.publish(&digest).await?;
        Ok(digest)
    }
}
