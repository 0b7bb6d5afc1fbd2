//! Artifacts in an object store that every process reaches, with a copy in each process's data directory.
//!
//! An upload is written to the data directory first, verified and synced, and then copied into the object store under its
//! digest. A read answers from the data directory, and fetches what is not there: once, however many ask, and verified
//! before it gets its name; from peers, where the object store fails. What is deleted, and when, is in `garbage.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use samovar_model::Digest;

use super::{Nats, garbage, record};
use crate::embedded::{DataDir, EmbeddedArtifacts};
use crate::{ArtifactError, Artifacts, Peers, Upload};

/// How often a fetch is tried again that another process's upload got in the way of.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 256 << 10;
/// For how long a process does not collect what it uploaded itself.
const SPARED: Duration = Duration::from_secs(3600);
/// How long the search for a peer that has an artifact may take.
const SEARCH: Duration = Duration::from_secs(10);

/// The artifacts that many processes share.
pub struct NatsArtifacts {
    shared: Arc<Shared>,
}

struct Shared {
    nats: Nats,
    local: EmbeddedArtifacts,
    /// What this process uploaded, and when: [`Artifacts::collect`] leaves it alone for a while.
    uploaded: Mutex<BTreeMap<Digest, Instant>>,
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

    /// Removes this process's own copies of artifacts that are not in `keep`, unless they are younger than
    /// [`NatsConfig::garbage_age`](super::NatsConfig::garbage_age) or were uploaded here lately. The store that all share stays
    /// as it is: what turns out to be needed is fetched again, which is why nothing is removed while NATS is away. For hosts,
    /// now and then; [`Artifacts::collect`] does this as well. Answers how many were removed.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub async fn forget(&self, keep: &BTreeSet<Digest>) -> Result<usize, ArtifactError> {
        if self.shared.nats.ready().await.is_err() {
            return Ok(0);
        }
        self.shared.local.forget(self.shared.spared(keep), self.shared.nats.config().garbage_age).await
    }
}

impl Shared {
    async fn store(&self) -> Result<ObjectStore, ArtifactError> {
        self.nats.ready().await.map_err(unavailable)?;
        self.nats.jetstream().get_object_store(&self.nats.buckets().artifacts.name).await.map_err(unavailable)
    }

    /// Copies a local artifact into the object store, unless it is there: then it is claimed, so that no collection takes
    /// it away before the deploy that it is uploaded for commits.
    async fn publish(&self, digest: &Digest) -> Result<(), ArtifactError> {
        if record::claim(&self.nats, digest).await.map_err(unavailable)? {
            return Ok(());
        }
        let path = self.local.file(digest).await?;
        let file = tokio::fs::File::open(&path).await;
        let mut file = file.map_err(|error| ArtifactError::Io { path, error })?;
        self.store().await?.put(digest.to_string().as_str(), &mut file).await.map_err(unavailable)?;
        Ok(())
    }

    /// What no collection of this process removes: `keep`, and what it uploaded lately.
    fn spared(&self, keep: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let mut uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        uploaded.retain(|_, at| at.elapsed() < SPARED);
        keep.iter().chain(uploaded.keys()).copied().collect()
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
                return Err(match record::read(&self.nats, digest).await.map_err(unavailable)? {
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

    async fn collect(&self, keep: &BTreeSet<Digest>, as_of: SystemTime) -> Result<usize, ArtifactError> {
        let spared = self.shared.spared(keep);
        let removed = garbage::collect(&self.shared.nats, &spared, as_of).await.map_err(unavailable)?;
        self.forget(keep).await?;
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
        let Self { mut local, shared } = *self;
        let (_, digest) = local.peek().await?;
        // Before it has its name, so that nothing takes it away afterwards.
        shared.uploaded.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, Instant::now());
        let digest = local.finish().await?;
        shared.publish(&digest).await?;
        Ok(digest)
    }
}
