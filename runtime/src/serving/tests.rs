use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use samovar_cluster::embedded::{DataDir, EmbeddedRegistry};
use samovar_cluster::{ArtifactError, NewRevision, Upload};
use samovar_model::manifest::FunctionTable;
use samovar_model::{ByteSize, ComponentKind, Digest, FunctionName};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::machine::Machine;
use crate::{HostConfig, Reach};

/// A store whose artifacts cannot be had, after a while.
struct Unavailable {
    asked: AtomicUsize,
    /// One for each answer.
    answers: Semaphore,
}

#[async_trait]
impl Artifacts for Unavailable {
    async fn begin(&self) -> Result<Box<dyn Upload>, ArtifactError> {
        Err(ArtifactError::Unavailable("nothing is stored here".to_owned()))
    }

    async fn file(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        self.asked.fetch_add(1, Relaxed);
        self.answers.acquire().await.expect("it is not closed").forget();
        Err(ArtifactError::Missing(*digest))
    }

    async fn local(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        Err(ArtifactError::Missing(*digest))
    }

    async fn collect(&self, _: &BTreeSet<Digest>, _: SystemTime) -> Result<usize, ArtifactError> {
        Ok(0)
    }
}

struct Fixture {
    serving: Arc<Serving>,
    registry: Arc<EmbeddedRegistry>,
    artifacts: Arc<Unavailable>,
    name: FunctionName,
    _dir: tempfile::TempDir,
}

/// A host with one function, whose code is not there.
async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = DataDir::open(dir.path()).expect("a data directory");
    let registry = Arc::new(EmbeddedRegistry::open(&data_dir).expect("a registry"));
    let artifacts = Arc::new(Unavailable { asked: AtomicUsize::new(0), answers: Semaphore::new(0) });
    let (capacity, _) = Machine::look().capacity(4);
    let config = HostConfig { capacity, ..HostConfig::new(data_dir.compiled(), data_dir.logs()) };
    let host = Host::start(config, Arc::clone(&artifacts) as _, Reach::default()).expect("a host");
    let name: FunctionName = "hello".parse().expect("a name");
    let settings = FunctionTable::default().settings(&name).expect("settings");
    let (artifact, size, kind) = (Digest::of(b"hello"), ByteSize::bytes(5), ComponentKind::Wasi02);
    let new = NewRevision { artifact, size, kind, settings, instead_of: None };
    registry.deploy(&name, new).await.expect("a deployment");
    let serving = Arc::new(Serving::new(host, Arc::clone(&registry) as _, Arc::clone(&artifacts) as _));
    Fixture { serving, registry, artifacts, name, _dir: dir }
}

#[tokio::test]
async fn a_function_that_is_being_prepared_is_not_begun_again_nor_one_that_failed_just_now() {
    let fixture = fixture().await;
    let Fixture { serving, artifacts, .. } = &fixture;
    let revision = serving.functions.resolve(&HeaderValue::from_static("hello@1;1")).await.expect("a revision");
    for _ in 0..100 {
        assert!(!serving.functions.is_prepared(&revision));
    }
    while artifacts.asked.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    artifacts.answers.add_permits(1);
    let attempts = &serving.host.inner().attempts;
    while attempts.failed_lately(&revision.spec.artifact).is_none() {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert!(!serving.functions.is_prepared(&revision));
    }
    // Nor is it fetched for one that would wait for it.
    assert!(matches!(serving.host.code(&revision).await, Err(Fault::NotAvailable)));
    assert_eq!(artifacts.asked.load(Relaxed), 1);
}

#[tokio::test]
async fn code_that_was_seen_on_disk_is_not_looked_for_again() {
    let fixture = fixture().await;
    let functions = &fixture.serving.functions;
    let revision = functions.resolve(&HeaderValue::from_static("hello@1;1")).await.expect("a revision");
    revision.is_prepared.store(true, Relaxed);
    assert!(functions.is_prepared(&revision));
    assert_eq!(fixture.artifacts.asked.load(Relaxed), 0);
}

#[tokio::test]
async fn a_function_that_was_deleted_has_a_fault_of_its_own() {
    let fixture = fixture().await;
    let Fixture { serving, registry, name, .. } = &fixture;
    let follow = tokio::spawn({
        let serving = Arc::clone(serving);
        async move { serving.follow().await }
    });
    let target = HeaderValue::from_static("hello@1;1");
    assert!(serving.functions.resolve(&target).await.is_ok());
    let version = registry.delete(name).await.expect("it is there");
    // Revision 2 is unknown here: that it is not to come either is told once this host has heard of the deletion.
    let newer = HeaderValue::from_str(&format!("hello@2;{version}")).expect("a header");
    assert_eq!(serving.functions.resolve(&newer).await.map(drop), Err(Fault::NoFunction));
    assert_eq!(serving.functions.resolve(&target).await.map(drop), Err(Fault::NoFunction));
    assert!(!Fault::NoFunction.never_started());
    follow.abort();
}

#[tokio::test]
async fn followed_logs_end_when_the_host_stops() {
    let fixture = fixture().await;
    let Fixture { serving, name, .. } = &fixture;
    let followed = serving.logs(name, Some("follow=true")).await;
    let (ended, has_ended) = watch::channel(false);
    let reading = tokio::spawn(async move {
        let read = followed.into_body().collect().await;
        ended.send_replace(true);
        read.map(http_body_util::Collected::to_bytes)
    });
    tokio::task::yield_now().await;
    assert!(!*has_ended.borrow());
    serving.stop();
    assert_eq!(reading.await.expect("it does not crash"), Ok(Bytes::new()));
    // Nor does one begin that goes on.
    let late = serving.logs(name, Some("follow=true")).await;
    assert_eq!(late.into_body().collect().await.map(http_body_util::Collected::to_bytes), Ok(Bytes::new()));
}
