//! The contract of the traits, and what is this backend's own: the lock, the format, the token, files on disk.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use proptest::prelude::*;
use samovar_model::Digest;

use super::{
    DataDir, DataDirError, EmbeddedArtifacts, EmbeddedGateways, EmbeddedMembership, EmbeddedRegistry, EmbeddedSecrets,
};
use crate::contract::gateways::{self, gateway_tests};
use crate::contract::membership::{Members, membership_tests};
use crate::contract::secrets::{self, secret_tests, value, vault};
use crate::contract::{self, Backend, contract_tests, name, revision, store};
use crate::{ArtifactError, Artifacts, Gateways, Membership, Registry, RegistryError, Secrets, Vault};

struct Embedded(tempfile::TempDir);

impl Backend for Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> (Arc<dyn Registry>, Arc<dyn Artifacts>) {
        let dir = DataDir::open(self.0.path()).unwrap();
        (Arc::new(EmbeddedRegistry::open(&dir).unwrap()), Arc::new(EmbeddedArtifacts::open(&dir).unwrap()))
    }
}

contract_tests!(Embedded);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_registry_follows_its_model(steps in contract::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(contract::the_registry_follows_its_model(&Embedded::new(), steps));
    }
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_directory_is_made_for_its_owner_only() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("deep/er");
    let dir = DataDir::open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    assert!(dir.artifacts().is_dir() && dir.compiled().is_dir() && dir.logs().is_dir());
}

#[test]
fn a_directory_that_is_in_use_is_refused_until_its_last_holder_is_gone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let registry = EmbeddedRegistry::open(&dir).unwrap();
    drop(dir);
    let refused = DataDir::open(temp.path()).unwrap_err().to_string();
    let expected = "is in use by another process (samovar up); stop it or give another --data-dir";
    assert!(refused.starts_with("data directory /") && refused.ends_with(expected), "{refused}");
    drop(registry);
    assert!(DataDir::open(temp.path()).is_ok());
}

#[test]
fn an_unknown_format_is_refused_and_left_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("version"), "7\n").unwrap();
    let refused = DataDir::open(temp.path()).unwrap_err().to_string();
    assert!(refused.contains("has format version 7; this samovar reads version 1"), "{refused}");
    assert!(!temp.path().join("artifacts").exists());
}

#[test]
fn a_registry_without_a_format_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("registry.redb"), "something").unwrap();
    assert!(matches!(DataDir::open(temp.path()), Err(DataDirError::Format { .. })));
}

#[test]
fn the_token_is_made_once_and_clients_read_it_without_the_lock() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    assert!(matches!(DataDir::read_token(temp.path()), Err(DataDirError::NoToken(_))));
    let token = dir.token().unwrap();
    assert!(token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    assert_eq!(mode(&temp.path().join("token")), 0o600);
    assert_eq!(dir.token().unwrap(), token);
    assert_eq!(DataDir::read_token(temp.path()).unwrap(), token);
    std::fs::write(temp.path().join("token"), "\n").unwrap();
    assert!(matches!(dir.token(), Err(DataDirError::EmptyToken(_))));
}

#[test]
fn a_damaged_registry_is_refused_with_its_path() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    std::fs::write(dir.registry(), vec![7; 4096]).unwrap();
    let Err(RegistryError::Unavailable(text)) = EmbeddedRegistry::open(&dir) else { panic!("opened") };
    assert!(text.contains("registry.redb"), "{text}");
}

#[tokio::test]
async fn a_half_written_upload_is_removed_at_open() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let leftover = dir.uploads().join("0");
    std::fs::write(&leftover, b"half").unwrap();
    let artifacts = EmbeddedArtifacts::open(&dir).unwrap();
    assert!(!leftover.exists());
    store(&artifacts, b"whole").await;
}

#[tokio::test]
async fn a_damaged_artifact_is_not_handed_out_and_another_upload_mends_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let digest = Digest::of(b"component");
    std::fs::write(dir.artifacts().join(digest.to_string()), b"c0mponent").unwrap();
    let artifacts = EmbeddedArtifacts::open(&dir).unwrap();
    assert!(matches!(artifacts.file(&digest).await, Err(ArtifactError::Damaged(d)) if d == digest));
    assert_eq!(store(&artifacts, b"component").await, digest);
    assert_eq!(std::fs::read(artifacts.file(&digest).await.unwrap()).unwrap(), b"component");
}

#[tokio::test]
async fn an_artifact_is_read_through_once_per_process() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let digest = store(&EmbeddedArtifacts::open(&dir).unwrap(), b"component").await;
    let artifacts = EmbeddedArtifacts::open(&dir).unwrap();
    let file = artifacts.file(&digest).await.unwrap();
    std::fs::write(file, b"c0mponent").unwrap();
    assert!(artifacts.file(&digest).await.is_ok(), "it was verified before");
    let next = EmbeddedArtifacts::open(&dir).unwrap();
    assert!(matches!(next.file(&digest).await, Err(ArtifactError::Damaged(_))));
}

#[tokio::test]
async fn a_commit_whose_caller_went_away_is_still_whole() {
    let embedded = Embedded::new();
    let (registry, _artifacts) = embedded.open().await;
    let a = name("a");
    let mut watch = registry.watch();
    let mut deploy = Box::pin(registry.deploy(&a, revision(&a, 1)));
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(deploy.as_mut().poll(cx).is_ready())).await;
    assert!(!polled, "a commit takes a thread and a sync, so it cannot be over at the first poll");
    drop(deploy);
    let shown = watch.wait_for(|snapshot| snapshot.version == 1).await.unwrap().clone();
    assert_eq!(shown.functions[&a].current.0, 1);
}

struct OneProcess(Arc<EmbeddedMembership>);

impl Members for OneProcess {
    async fn new() -> Self {
        Self(Arc::default())
    }

    async fn open(&self) -> Arc<dyn Membership> {
        self.0.clone()
    }
}

membership_tests!(OneProcess);

struct OneProcessGateways(Arc<EmbeddedGateways>);

impl gateways::Backend for OneProcessGateways {
    async fn new() -> Self {
        Self(Arc::default())
    }

    async fn open(&self) -> Arc<dyn Gateways> {
        self.0.clone()
    }
}

gateway_tests!(OneProcessGateways);

impl secrets::Backend for Embedded {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Secrets> {
        Arc::new(EmbeddedSecrets::open(&DataDir::open(self.0.path()).unwrap()).unwrap())
    }
}

secret_tests!(Embedded);

#[tokio::test]
async fn a_key_is_made_once_and_not_in_place_of_one_that_was_lost() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = Arc::new(EmbeddedSecrets::open(&dir).unwrap());
    let keys = store.own_keys().unwrap().unwrap();
    assert_eq!(store.own_keys().unwrap().unwrap().current(), keys.current());
    Vault::new(store.clone(), Ok(keys)).set(&secrets::name("A"), &value("one")).await.unwrap();
    let file = temp.path().join(DataDir::SECRETS_KEY);
    std::fs::remove_file(&file).unwrap();
    let lost = store.own_keys().unwrap().unwrap_err();
    assert!(lost.starts_with(&format!("the key of 1 secrets is gone: put {} back", file.display())), "{lost}");
    assert!(!file.exists());
}

#[tokio::test]
async fn no_byte_of_a_value_is_on_disk() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store: Arc<dyn Secrets> = Arc::new(EmbeddedSecrets::open(&dir).unwrap());
    let open = vault(&store, &"1".repeat(64));
    open.set(&secrets::name("A"), &value("sk_live_51H8")).await.unwrap();
    open.remove(&secrets::name("A")).await.unwrap();
    let disk = std::fs::read(dir.secrets()).unwrap();
    assert!(disk.windows(2).any(|bytes| bytes == b"A{") || disk.windows(6).any(|bytes| bytes == b"sealed"));
    assert!(!disk.windows(8).any(|bytes| bytes == b"sk_live_"));
}
