//! Artifacts that one process uploads and another reads.

use std::sync::Arc;

use samovar_model::Digest;

use super::config;
use super::server::Server;
use crate::contract::store;
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsArtifacts, NatsConfig};
use crate::{ArtifactError, Artifacts};

/// A process's artifacts, with its data directory.
pub(super) struct Store {
    pub(super) artifacts: Arc<NatsArtifacts>,
    pub(super) nats: Nats,
    pub(super) dir: tempfile::TempDir,
}

impl Store {
    pub(super) async fn open(config: NatsConfig) -> Self {
        let (nats, dir) = (Nats::connect(config).await.unwrap(), tempfile::tempdir().unwrap());
        let artifacts = NatsArtifacts::open(&nats, &DataDir::open(dir.path()).unwrap()).unwrap();
        Self { artifacts: Arc::new(artifacts), nats, dir }
    }

    pub(super) async fn read(&self, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
        self.artifacts.file(digest).await.map(|path| std::fs::read(path).unwrap())
    }

    /// How many messages the object store holds.
    pub(super) async fn messages(&self) -> u64 {
        let stream = self.nats.jetstream().get_stream("OBJ_samovar_artifact").await.unwrap();
        stream.cached_info().state.messages
    }
}

pub(super) fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[tokio::test]
async fn an_artifact_of_one_process_is_read_by_another() {
    let server = Server::start();
    let (one, two) = (Store::open(config(&server)).await, Store::open(config(&server)).await);
    for length in [0, 1, 3 << 20] {
        let bytes = some_bytes(length);
        let digest = store(&*one.artifacts, &bytes[..length.min(64)]).await;
        assert_eq!(two.read(&digest).await.unwrap(), &bytes[..length.min(64)]);
        let mut upload = one.artifacts.begin().await.unwrap();
        upload.write(bytes.clone().into()).await.unwrap();
        let digest = upload.finish().await.unwrap();
        assert!(two.read(&digest).await.unwrap() == bytes, "{length} bytes");
    }
}

#[tokio::test]
async fn many_readers_fetch_an_artifact_once_and_then_without_nats() {
    let mut server = Server::start();
    let (one, two) = (Store::open(config(&server)).await, Store::open(config(&server)).await);
    let digest = store(&*one.artifacts, b"component").await;
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let artifacts = two.artifacts.clone();
            tokio::spawn(async move { artifacts.file(&digest).await.unwrap() })
        })
        .collect();
    for reader in readers {
        assert_eq!(std::fs::read(reader.await.unwrap()).unwrap(), b"component");
    }
    server.kill();
    assert_eq!(two.read(&digest).await.unwrap(), b"component");
    let other = two.read(&Digest::of(b"other")).await;
    assert!(matches!(other, Err(ArtifactError::Unavailable(_))), "{other:?}");
}

#[tokio::test]
async fn a_damaged_copy_is_fetched_anew() {
    let server = Server::start();
    let one = Store::open(config(&server)).await;
    let two = Store::open(config(&server)).await;
    let digest = store(&*one.artifacts, b"component").await;
    std::fs::write(two.dir.path().join("artifacts/sha256").join(digest.to_string()), b"c0mponent").unwrap();
    assert_eq!(two.read(&digest).await.unwrap(), b"component");
}

#[tokio::test]
async fn bytes_that_are_not_what_their_name_says_are_never_handed_out() {
    let server = Server::start();
    let one = Store::open(config(&server)).await;
    let digest = Digest::of(b"component");
    let objects = one.nats.jetstream().get_object_store("samovar_artifact").await.unwrap();
    objects.put(digest.to_string().as_str(), &mut &b"c0mponent"[..]).await.unwrap();
    assert!(matches!(one.read(&digest).await, Err(ArtifactError::Damaged(_))));
    assert!(!one.dir.path().join("artifacts/sha256").join(digest.to_string()).exists());
}

#[tokio::test]
async fn uploading_again_heals_what_is_damaged_or_half_gone() {
    let server = Server::start();
    let (one, two) = (Store::open(config(&server)).await, Store::open(config(&server)).await);
    let objects = one.nats.jetstream().get_object_store("samovar_artifact").await.unwrap();
    let damaged = Digest::of(b"damaged");
    objects.put(damaged.to_string().as_str(), &mut &b"d@maged"[..]).await.unwrap();
    assert_eq!(store(&*one.artifacts, b"damaged").await, damaged);
    assert_eq!(two.read(&damaged).await.unwrap(), b"damaged");

    let halved = store(&*one.artifacts, b"halved").await;
    let info = objects.info(halved.to_string()).await.unwrap();
    let stream = one.nats.jetstream().get_stream("OBJ_samovar_artifact").await.unwrap();
    stream.purge().filter(format!("$O.samovar_artifact.C.{}", info.nuid)).await.unwrap();
    store(&*one.artifacts, b"halved").await;
    assert_eq!(two.read(&halved).await.unwrap(), b"halved");
}
