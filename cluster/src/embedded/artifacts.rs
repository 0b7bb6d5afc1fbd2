//! Artifacts as files named by their digest.
//!
//! An upload is a file in `artifacts/tmp` (hashed while it is written) until it is synced and renamed into
//! `artifacts/sha256`. What is in `tmp` when the store is opened was left by a killed process, and is removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use samovar_model::Digest;

use super::DataDir;
use crate::durable::sync_dir;
use crate::{ArtifactError, Artifacts, Upload};

/// The artifacts of one process.
pub struct EmbeddedArtifacts {
    store: Arc<Store>,
}

struct Store {
    dir: DataDir,
    next_upload: AtomicU64,
    seen: Mutex<Seen>,
}

/// What happened since this process started.
#[derive(Default)]
struct Seen {
    /// Digests whose file had the right bytes.
    verified: BTreeSet<Digest>,
    /// Digests that were uploaded, which [`Artifacts::collect`] leaves alone.
    uploaded: BTreeSet<Digest>,
}

impl EmbeddedArtifacts {
    /// Opens the data directory's artifacts and removes uploads that were never finished. Blocks on the disk.
    ///
    /// # Errors
    /// When the directory cannot be read or a leftover cannot be removed.
    pub fn open(dir: &DataDir) -> Result<Self, ArtifactError> {
        let uploads = dir.uploads();
        for entry in std::fs::read_dir(&uploads).map_err(at(&uploads))? {
            let leftover = entry.map_err(at(&uploads))?.path();
            std::fs::remove_file(&leftover).map_err(at(&leftover))?;
        }
        let store = Store { dir: dir.clone(), next_upload: AtomicU64::new(0), seen: Mutex::default() };
        Ok(Self { store: Arc::new(store) })
    }
}

impl EmbeddedArtifacts {
    /// Removes files that are not to be kept and were written at least so long ago: for copies of what another store has.
    /// Answers how many.
    pub(crate) async fn forget(&self, keep: BTreeSet<Digest>, age: Duration) -> Result<usize, ArtifactError> {
        let goes = move |digest: &Digest, written: Duration, _: &Seen| !keep.contains(digest) && written >= age;
        self.store.blocking(move |store| store.remove(goes)).await
    }
}

impl Store {
    /// Runs work where it may block. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, ArtifactError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| at(&self.dir.artifacts())(io::Error::other(error)))?
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.artifacts().join(digest.to_string())
    }

    /// The artifact's file, read through once per process to see that it has the bytes it should have.
    fn verified(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ArtifactError::Missing(*digest)),
            opened => opened.map_err(at(&path))?,
        };
        if self.seen().verified.contains(digest) {
            return Ok(path);
        }
        if digest_of(&mut file).map_err(at(&path))? != *digest {
            return Err(ArtifactError::Damaged(*digest));
        }
        self.seen().verified.insert(*digest);
        Ok(path)
    }

    fn finish(&self, draft: Draft, temp: TempFile) -> Result<Digest, ArtifactError> {
        draft.file.sync_all().map_err(at(&temp.0))?;
        let digest = draft.digest();
        // Before looking for an older copy, so that no collection can take that one away afterwards.
        self.seen().uploaded.insert(digest);
        match self.verified(&digest) {
            Ok(_) => {}
            Err(ArtifactError::Missing(_) | ArtifactError::Damaged(_)) => temp.keep(&self.path(&digest))?,
            Err(error) => return Err(error),
        }
        let dir = self.dir.artifacts();
        sync_dir(&dir).map_err(at(&dir))?;
        Ok(digest)
    }

    /// Removes the files of artifacts that are to go, by their digests, their ages and what happened to them.
    fn remove(&self, goes: impl Fn(&Digest, Duration, &Seen) -> bool) -> Result<usize, ArtifactError> {
        let dir = self.dir.artifacts();
        let mut removed = 0;
        for entry in std::fs::read_dir(&dir).map_err(at(&dir))? {
            let entry = entry.map_err(at(&dir))?;
            let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()) else {
                continue;
            };
            let written = entry.metadata().and_then(|file| file.modified()).map_err(at(&entry.path()))?;
            let mut seen = self.seen();
            if goes(&digest, written.elapsed().unwrap_or_default(), &seen) {
                std::fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
                seen.verified.remove(&digest);
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[async_trait]
impl Artifacts for EmbeddedArtifacts {
    async fn begin(&self) -> Result<Box<dyn Upload>, ArtifactError> {
        let begun = self.store.blocking(|store| {
            let number = store.next_upload.fetch_add(1, Ordering::Relaxed);
            let temp = TempFile(store.dir.uploads().join(number.to_string()));
            let file = File::create_new(&temp.0).map_err(at(&temp.0))?;
            let draft = Some(Draft { file, hasher: Sha256::new() });
            Ok(EmbeddedUpload { store: store.clone(), temp, draft })
        });
        Ok(Box::new(begun.await?))
    }

    async fn file(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        let digest = *digest;
        self.store.blocking(move |store| store.verified(&digest)).await
    }

    async fn local(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        self.file(digest).await
    }

    /// Nothing happens at the same time, so it does not matter when it was asked what to keep.
    async fn collect(&self, keep: &BTreeSet<Digest>, _: SystemTime) -> Result<usize, ArtifactError> {
        let keep = keep.clone();
        self.store
            .blocking(move |store| {
                store.remove(|digest, _, seen| !keep.contains(digest) && !seen.uploaded.contains(digest))
            })
            .await
    }
}

struct EmbeddedUpload {
    store: Arc<Store>,
    temp: TempFile,
    /// Absent after a write that failed or was cancelled: nothing can follow that.
    draft: Option<Draft>,
}

struct Draft {
    file: File,
    hasher: Sha256,
}

impl Draft {
    fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }
}

impl EmbeddedUpload {
    fn broken(&self) -> ArtifactError {
        at(&self.temp.0)(io::Error::other("an earlier write of this upload failed: begin again"))
    }
}

#[async_trait]
impl Upload for EmbeddedUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), ArtifactError> {
        let mut draft = self.draft.take().ok_or_else(|| self.broken())?;
        let path = self.temp.0.clone();
        let written = self.store.blocking(move |_| {
            draft.hasher.update(&chunk);
            draft.file.write_all(&chunk).map_err(at(&path))?;
            Ok(draft)
        });
        self.draft = Some(written.await?);
        Ok(())
    }

    async fn peek(&mut self) -> Result<(PathBuf, Digest), ArtifactError> {
        let draft = self.draft.as_ref().ok_or_else(|| self.broken())?;
        Ok((self.temp.0.clone(), draft.digest()))
    }

    async fn finish(mut self: Box<Self>) -> Result<Digest, ArtifactError> {
        let draft = self.draft.take().ok_or_else(|| self.broken())?;
        let Self { store, temp, .. } = *self;
        store.blocking(move |store| store.finish(draft, temp)).await
    }
}

/// A file that is removed when this is dropped.
struct TempFile(PathBuf);

impl TempFile {
    /// Gives the file its name for good.
    fn keep(self, path: &Path) -> Result<(), ArtifactError> {
        std::fs::rename(&self.0, path).map_err(at(path))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.0.display(), %error, "an unfinished upload could not be removed");
            }
            _ => {}
        }
    }
}

fn digest_of(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ArtifactError + use<> {
    let path = path.to_owned();
    move |error| ArtifactError::Io { path, error }
}
