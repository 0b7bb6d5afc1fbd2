//! The store of artifacts: components' bytes, named by their sha256.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use samovar_model::Digest;

/// Why an artifact could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Not in the store.
    #[error("no artifact {0}")]
    Missing(Digest),
    /// The file's bytes are not those that its name promises.
    #[error("artifact {0} is damaged: its bytes have another digest; deploy the function again")]
    Damaged(Digest),
    /// The store that hosts share cannot be reached, and this host has no copy: try again later.
    #[error("the artifact store is not available: {0}")]
    Unavailable(String),
    /// The disk said no.
    #[error("the artifact store at {path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A store of artifacts.
#[async_trait]
pub trait Artifacts: Send + Sync + 'static {
    /// Begins an upload. Nothing of it is visible before [`Upload::finish`]; dropping it leaves nothing behind.
    async fn begin(&self) -> Result<Box<dyn Upload>, ArtifactError>;

    /// A local file with the artifact's bytes, whose digest has been verified since this process started.
    async fn file(&self, digest: &Digest) -> Result<PathBuf, ArtifactError>;

    /// The same, if this process has it. Nobody else is asked: this is for answering peers, which ask everybody themselves.
    async fn local(&self, digest: &Digest) -> Result<PathBuf, ArtifactError>;

    /// Removes every artifact that is not in `keep`, which is what was referred to at the moment `as_of`. What this process
    /// uploaded lately stays; in a store that many processes share, so does what was not there some time before that moment.
    /// Answers how many were removed.
    async fn collect(&self, keep: &BTreeSet<Digest>, as_of: SystemTime) -> Result<usize, ArtifactError>;
}

/// An artifact's bytes, in order, on their way from a peer. They need not be the right ones: whoever asked verifies them.
pub type PeerBytes = BoxStream<'static, io::Result<Bytes>>;

/// Other members that may have an artifact, for when the store that all share cannot be reached.
pub trait Peers: Send + Sync + 'static {
    /// The artifact as one peer after the other has it, best first; those that have not got it are left out. The next peer
    /// is asked only when this is polled again, because the bytes of the one before were of no use.
    fn fetch(&self, digest: &Digest) -> BoxStream<'static, PeerBytes>;
}

/// An artifact that is being written.
#[async_trait]
pub trait Upload: Send {
    /// Appends bytes.
    async fn write(&mut self, chunk: Bytes) -> Result<(), ArtifactError>;

    /// The file with what was written so far, and the digest of that: for checking before [`Upload::finish`].
    async fn peek(&mut self) -> Result<(PathBuf, Digest), ArtifactError>;

    /// Makes the artifact visible under its digest, durably: file and directory are synced before this returns.
    async fn finish(self: Box<Self>) -> Result<Digest, ArtifactError>;
}
