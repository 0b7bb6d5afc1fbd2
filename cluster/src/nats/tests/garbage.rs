//! What a collection removes, and when; and that it never removes what a deploy refers to.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use samovar_model::Digest;
use tokio::time::sleep;

use super::artifacts::{Store, some_bytes};
use super::config;
use super::proxy::{Proxy, Way};
use super::server::Server;
use crate::contract::{name, revision, store};
use crate::embedded::DataDir;
use crate::nats::connection::Link;
use crate::nats::lock::Lock;
use crate::nats::{Nats, NatsArtifacts, NatsConfig, NatsRegistry};
use crate::{ArtifactError, Artifacts, Deployment, NewRevision, Registry, RegistryError, garbage};

#[tokio::test]
async fn what_is_young_is_not_collected_and_uploading_again_makes_it_young() {
    let server = Server::start();
    let age = NatsConfig { garbage_age: Duration::from_secs(2), ..config(&server) };
    let (one, two) = (Store::open(age.clone()).await, Store::open(age).await);
    let (again, old) = (store(&*one.artifacts, b"again").await, store(&*one.artifacts, b"old").await);
    assert_eq!(two.artifacts.collect(&BTreeSet::new(), SystemTime::now()).await.unwrap(), 0, "both are young");
    sleep(Duration::from_millis(2100)).await;
    store(&*one.artifacts, b"again").await;
    assert_eq!(two.artifacts.collect(&BTreeSet::new(), SystemTime::now()).await.unwrap(), 1);
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
    assert_eq!(other.artifacts.collect(&BTreeSet::from([kept]), SystemTime::now()).await.unwrap(), 0);
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
    assert_eq!(two.artifacts.collect(&BTreeSet::new(), SystemTime::now()).await.unwrap(), 0);
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
    assert_eq!(fresh.artifacts.collect(&BTreeSet::new(), SystemTime::now()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_holder_whose_tasks_do_not_run_does_not_believe_in_its_lock() {
    let server = Server::start();
    let nats = Nats::connect(NatsConfig { lock_expiry: Duration::from_secs(2), ..config(&server) }).await.unwrap();
    let lock = Lock::take(&nats, "collect").await.unwrap().expect("nobody has it");
    assert!(lock.is_held());
    // The whole runtime stands still, and with it the task that renews the lock.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!lock.is_held());
}

/// A process that can deploy what it uploads.
struct Deployer {
    store: Store,
    registry: NatsRegistry,
    _dir: tempfile::TempDir,
}

impl Deployer {
    async fn start(config: NatsConfig) -> Self {
        let (store, dir) = (Store::open(config).await, tempfile::tempdir().unwrap());
        let registry = NatsRegistry::open(&store.nats, &DataDir::open(dir.path()).unwrap()).await.unwrap();
        Self { store, registry, _dir: dir }
    }

    async fn deploy(&self, function: &str, artifact: Digest) -> Result<Deployment, RegistryError> {
        let name = name(function);
        self.registry.deploy(&name, NewRevision { artifact, ..revision(&name, 1) }).await
    }

    async fn collect(&self) -> Result<usize, ArtifactError> {
        garbage::collect(&self.registry, &*self.store.artifacts).await.map(|collected| collected.removed)
    }
}

#[tokio::test]
async fn a_deploy_whose_artifact_was_collected_is_refused() {
    let server = Server::start();
    let (one, two) = (Deployer::start(config(&server)).await, Deployer::start(config(&server)).await);
    let artifact = store(&*one.store.artifacts, b"component").await;
    assert_eq!(two.collect().await.unwrap(), 1, "nothing refers to it");
    let refused = one.deploy("a", artifact).await;
    assert!(matches!(refused, Err(RegistryError::NoArtifact(digest)) if digest == artifact), "{refused:?}");
    assert!(one.registry.watch().borrow().functions.is_empty());
    store(&*one.store.artifacts, b"component").await;
    one.deploy("a", artifact).await.unwrap();
    assert_eq!(two.collect().await.unwrap(), 0);
    assert_eq!(two.store.read(&artifact).await.unwrap(), b"component");
}

#[tokio::test]
async fn a_commit_that_arrives_after_its_artifact_was_collected_is_not_stored() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let commit_timeout = Duration::from_secs(2);
    let slow = NatsConfig { servers: vec![proxy.url()], commit_timeout, ..config(&server) };
    let slow = Deployer::start(NatsConfig { answer_timeout: Duration::from_millis(500), ..slow }).await;
    let other = Deployer::start(config(&server)).await;
    let artifact = store(&*slow.store.artifacts, b"component").await;
    proxy.hold(Way::ToServer, "HPUB $KV.samovar_fn.");
    let outcome = slow.deploy("a", artifact).await;
    assert!(matches!(outcome, Err(RegistryError::Unknown(_))), "{outcome:?}");
    assert_eq!(other.collect().await.unwrap(), 1, "the deploy is not there");
    proxy.release();
    let mut link = slow.store.nats.link();
    link.wait_for(|link| matches!(link, Link::Connected(_))).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(other.registry.settled().await.unwrap().snapshot.functions.is_empty(), "nor does it come later");
}

#[tokio::test]
async fn nothing_is_collected_while_some_function_cannot_be_read() {
    let server = Server::start();
    let one = Deployer::start(config(&server)).await;
    let artifact = store(&*one.store.artifacts, b"component").await;
    one.deploy("a", artifact).await.unwrap();
    let jetstream = one.store.nats.jetstream();
    let newer = jetstream.publish("$KV.samovar_fn.a", "{\"format\": 2}".into()).await;
    newer.unwrap().await.unwrap();
    // It does not know what the function was before.
    let fresh = Deployer::start(config(&server)).await;
    let refused = fresh.collect().await.unwrap_err().to_string();
    assert!(refused.contains("entry `a` cannot be read"), "{refused}");
    assert_eq!(fresh.store.read(&artifact).await.unwrap(), b"component");
}

#[tokio::test]
async fn a_process_whose_table_is_old_collects_by_what_is_committed() {
    let mut server = Server::start();
    let one = Deployer::start(config(&server)).await;
    one.deploy("a", store(&*one.store.artifacts, b"a").await).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let open = async |config: NatsConfig| {
        let nats = Nats::connect(config).await.unwrap();
        let data_dir = DataDir::open(dir.path()).unwrap();
        (NatsRegistry::open(&nats, &data_dir).await.unwrap(), NatsArtifacts::open(&nats, &data_dir).unwrap())
    };
    let known = open(config(&server)).await;
    while !dir.path().join("registry.json").exists() {
        sleep(Duration::from_millis(10)).await;
    }
    drop(known);
    let artifact = store(&*one.store.artifacts, b"b").await;
    one.deploy("b", artifact).await.unwrap();
    server.kill();
    let (registry, artifacts) = open(NatsConfig { patience: Duration::from_millis(300), ..config(&server) }).await;
    assert_eq!(registry.watch().borrow().functions.len(), 1, "it is that of the disk");
    assert!(garbage::collect(&registry, &artifacts).await.is_err(), "NATS is away");
    server.restart();
    let removed = loop {
        match garbage::collect(&registry, &artifacts).await {
            Ok(collected) => break collected.removed,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    };
    assert_eq!(removed, 0);
}

#[tokio::test]
async fn a_host_forgets_copies_and_fetches_them_again_when_they_are_needed() {
    let mut server = Server::start();
    let (one, host) = (Store::open(config(&server)).await, Store::open(config(&server)).await);
    let (kept, other) = (store(&*one.artifacts, b"kept").await, store(&*one.artifacts, b"other").await);
    for digest in [kept, other] {
        host.read(&digest).await.unwrap();
    }
    let copy = |digest: &Digest| host.dir.path().join("artifacts/sha256").join(digest.to_string());
    assert_eq!(host.artifacts.forget(&BTreeSet::from([kept])).await.unwrap(), 1);
    assert!(copy(&kept).exists() && !copy(&other).exists());
    assert_eq!(host.read(&other).await.unwrap(), b"other", "the store has it still");
    assert_eq!(one.artifacts.forget(&BTreeSet::new()).await.unwrap(), 0, "it uploaded them lately");

    let patient = NatsConfig { garbage_age: Duration::from_secs(3600), ..config(&server) };
    let young = Store::open(patient).await;
    young.read(&other).await.unwrap();
    assert_eq!(young.artifacts.forget(&BTreeSet::new()).await.unwrap(), 0);
    server.kill();
    let mut link = host.nats.link();
    link.wait_for(|link| !matches!(link, Link::Connected(_))).await.unwrap();
    assert_eq!(host.artifacts.forget(&BTreeSet::new()).await.unwrap(), 0, "they could not be fetched again");
}
