//! Artifacts that one process uploads and another reads; what a collection removes, and when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use samovar_model::Digest;
use tokio::time::sleep;

use super::config;
use super::proxy::{Proxy, Way};
use super::server::Server;
use crate::contract::store;
use crate::embedded::DataDir;
use crate::nats::lock::Lock;
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
    async fn messages(&self) -> u64 {
        let stream = self.nats.jetstream().get_stream("OBJ_samovar_artifact").await.unwrap();
        stream.cached_info().state.messages
    }
}

fn some_bytes(length: usize) -> Vec<u8> {
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
async fn what_is_young_is_not_collected_and_uploading_again_makes_it_young() {
    let server = Server::start();
    let age = NatsConfig { garbage_age: Duration::from_secs(2), ..config(&server) };
    let (one, two) = (Store::open(age.clone()).await, Store::open(age).await);
    let (again, old) = (store(&*one.artifacts, b"again").await, store(&*one.artifacts, b"old").await);
    assert_eq!(two.artifacts.collect(&BTreeSet::new()).await.unwrap(), 0, "both are young");
    sleep(Duration::from_millis(2100)).await;
    store(&*one.artifacts, b"again").await;
    assert_eq!(two.artifacts.collect(&BTreeSet::new()).await.unwrap(), 1);
    assert_eq!(two.read(&again).await.unwrap(), b"again");
    assert!(matches!(two.read(&old).await, Err(ArtifactError::Missing(_))));
    assert_eq!(two.messages().await, 2, "a record and a chunk");
}

#[tokio::test]
async fn an_interrupted_upload_leaves_nothing_for_ever() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let slow = Store::open(NatsConfig { servers: vec![proxy.url()], ..config(&server) }).await;
    let other = Store::open(config(&server)).await;
    let kept = store(&*other.artifacts, b"kept").await;
    let mut upload = slow.artifacts.begin().await.unwrap();
    upload.write(some_bytes(300 << 10).into()).await.unwrap();
    // Everything but the record arrives.
    proxy.hold(Way::ToServer, "HPUB $O.samovar_artifact.M.");
    let broken = upload.finish().await;
    assert!(matches!(broken, Err(ArtifactError::Unavailable(_))), "{broken:?}");
    assert!(other.messages().await > 2, "chunks without a record");
    assert_eq!(other.artifacts.collect(&BTreeSet::from([kept])).await.unwrap(), 0);
    assert_eq!(other.messages().await, 2, "a record and a chunk");
    assert_eq!(other.read(&kept).await.unwrap(), b"kept");
}

#[tokio::test]
async fn only_one_process_collects_at_a_time() {
    let server = Server::start();
    let expiring = NatsConfig { lock_expiry: Duration::from_secs(2), ..config(&server) };
    let (one, two) = (Store::open(expiring.clone()).await, Store::open(expiring).await);
    let garbage = store(&*one.artifacts, b"garbage").await;
    let lock = Lock::take(&one.nats, "collect").await.unwrap().expect("nobody has it");
    assert_eq!(two.artifacts.collect(&BTreeSet::new()).await.unwrap(), 0);
    assert!(two.read(&garbage).await.is_ok());
    sleep(Duration::from_secs(3)).await;
    assert!(lock.is_held(), "it is renewed");
    assert!(Lock::take(&two.nats, "collect").await.unwrap().is_none());
    // A holder that is gone gives nothing back.
    drop(lock);
    sleep(Duration::from_secs(3)).await;
    let lock = Lock::take(&two.nats, "collect").await.unwrap().expect("it has expired");
    lock.release().await.unwrap();
    Lock::take(&one.nats, "collect").await.unwrap().expect("it was given back").release().await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let fresh = Store::open(NatsConfig { lock_expiry: Duration::from_secs(2), ..config(&server) }).await;
    assert_eq!(fresh.artifacts.collect(&BTreeSet::new()).await.unwrap(), 1);
}
