//! What every backend of [`Secrets`] must do, as tests that know the trait alone, most of them through a [`Vault`].

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use samovar_model::SecretName;
use samovar_model::api::KeyState;

use super::membership::until;
use crate::secrets::{Put, SecretError, SecretKeys, SecretRecord, SecretTable, SecretValue, Secrets, Vault};

const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// Storage that can be opened again and again, as by one process after the other.
pub(crate) trait Backend: Sized {
    async fn new() -> Self;
    async fn open(&self) -> Arc<dyn Secrets>;
}

macro_rules! secret_tests {
    ($backend:ty) => {
        secret_tests!($backend: what_is_set_can_be_read_and_survives_reopening, each_write_has_the_next_version,
            a_removed_secret_is_not_set_and_its_versions_go_on, a_record_that_is_not_the_next_one_is_not_stored,
            writes_at_once_have_a_version_each, a_value_does_not_open_under_another_name,
            without_a_key_secrets_are_listed_and_removed_and_nothing_else, resealing_makes_an_old_key_superfluous);
    };
    ($backend:ty: $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::secrets::$test(
                &<$backend as $crate::contract::secrets::Backend>::new().await
            ).await;
        })*
    };
}
pub(crate) use secret_tests;

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

pub(crate) fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec()).unwrap()
}

pub(crate) fn vault(store: &Arc<dyn Secrets>, keys: &str) -> Arc<Vault> {
    Vault::new(store.clone(), Ok(SecretKeys::parse(keys).unwrap()))
}

pub(crate) fn exposed(vault: &Vault, secret: &str) -> Result<String, SecretError> {
    vault.read(&name(secret)).map(|value| value.expose().to_owned())
}

pub(crate) async fn what_is_set_can_be_read_and_survives_reopening(backend: &impl Backend) {
    let store = backend.open().await;
    let open = vault(&store, OLD);
    assert_eq!(exposed(&open, "A"), Err(SecretError::NotSet(name("A"))));
    let large = "ä".repeat(32 << 10);
    assert_eq!(open.set(&name("A"), &value("one")).await, Ok(1));
    open.set(&name("LARGE"), &value(&large)).await.unwrap();
    assert_eq!(exposed(&open, "A").unwrap(), "one", "who has set it reads it");
    drop((open, store));
    let open = vault(&backend.open().await, OLD);
    assert_eq!((exposed(&open, "A").unwrap(), exposed(&open, "LARGE").unwrap()), ("one".to_owned(), large));
}

pub(crate) async fn each_write_has_the_next_version(backend: &impl Backend) {
    let store = backend.open().await;
    let open = vault(&store, OLD);
    let mut watch = store.watch();
    for (version, text) in [(1, "one"), (2, "two"), (3, "two")] {
        watch.mark_unchanged();
        assert_eq!(open.set(&name("A"), &value(text)).await, Ok(version));
        assert!(watch.has_changed().unwrap(), "it is published before it is acknowledged");
        assert_eq!(exposed(&open, "A").unwrap(), text);
    }
    open.set(&name("B"), &value("b")).await.unwrap();
    let list = open.list();
    let shown: Vec<_> = list.iter().map(|secret| (secret.name.as_str(), secret.version, secret.key)).collect();
    assert_eq!(shown, [("A", 3, KeyState::Current), ("B", 1, KeyState::Current)]);
    assert!(list.iter().all(|secret| secret.set > Timestamp::UNIX_EPOCH));
}

pub(crate) async fn a_removed_secret_is_not_set_and_its_versions_go_on(backend: &impl Backend) {
    let store = backend.open().await;
    let open = vault(&store, OLD);
    open.set(&name("A"), &value("one")).await.unwrap();
    open.remove(&name("A")).await.unwrap();
    let not_set = Err(SecretError::NotSet(name("A")));
    assert_eq!((exposed(&open, "A"), open.remove(&name("A")).await), (not_set.clone(), not_set.clone().map(drop)));
    assert!(open.list().is_empty());
    drop((open, store));
    let open = vault(&backend.open().await, OLD);
    assert_eq!(exposed(&open, "A"), not_set);
    assert_eq!(open.set(&name("A"), &value("two")).await, Ok(3));
}

pub(crate) async fn a_record_that_is_not_the_next_one_is_not_stored(backend: &impl Backend) {
    let store = backend.open().await;
    let record = |version| SecretRecord { version, set: Timestamp::UNIX_EPOCH, sealed: None };
    assert_eq!(store.last_version(&name("A")).await, Ok(0));
    assert_eq!(store.put(&name("A"), record(1)).await, Ok(Put::Done));
    for version in [0, 1, 3, u64::MAX] {
        assert_eq!(store.put(&name("A"), record(version)).await, Ok(Put::Outdated), "{version}");
    }
    assert_eq!(store.last_version(&name("A")).await, Ok(1));
    assert_eq!(store.put(&name("A"), record(2)).await, Ok(Put::Done));
}

pub(crate) async fn writes_at_once_have_a_version_each(backend: &impl Backend) {
    let store = backend.open().await;
    let open = vault(&store, OLD);
    let set = |number: u32| {
        let open = open.clone();
        tokio::spawn(async move { open.set(&name("A"), &value(&number.to_string())).await.unwrap() })
    };
    let tasks: Vec<_> = (0..8).map(set).collect();
    let mut given = BTreeSet::new();
    for task in tasks {
        given.insert(task.await.unwrap());
    }
    assert_eq!(given, (1..=8).collect());
    assert_eq!(store.last_version(&name("A")).await, Ok(8));
}

pub(crate) async fn a_value_does_not_open_under_another_name(backend: &impl Backend) {
    let store = backend.open().await;
    let open = vault(&store, OLD);
    open.set(&name("ADMIN"), &value("one")).await.unwrap();
    let record = SecretRecord::clone(&store.watch().borrow().records[&name("ADMIN")]);
    assert_eq!(store.put(&name("MINE"), record).await, Ok(Put::Done));
    assert_eq!(exposed(&open, "MINE"), Err(SecretError::Damaged(name("MINE"))));
}

pub(crate) async fn without_a_key_secrets_are_listed_and_removed_and_nothing_else(backend: &impl Backend) {
    let store = backend.open().await;
    vault(&store, OLD).set(&name("A"), &value("one")).await.unwrap();
    let other = vault(&store, NEW);
    assert!(matches!(exposed(&other, "A"), Err(SecretError::OtherKey { .. })));
    let without = Vault::new(store.clone(), Err("get a key".to_owned()));
    let refused = SecretError::NoKey("get a key".to_owned());
    assert_eq!(exposed(&without, "A"), Err(refused.clone()));
    assert_eq!(without.set(&name("A"), &value("two")).await, Err(refused));
    for vault in [&other, &without] {
        assert_eq!(vault.list()[0].key, KeyState::Missing);
    }
    without.remove(&name("A")).await.unwrap();
    assert!(without.list().is_empty());
}

pub(crate) async fn resealing_makes_an_old_key_superfluous(backend: &impl Backend) {
    let store = backend.open().await;
    vault(&store, OLD).set(&name("A"), &value("one")).await.unwrap();
    let both = vault(&store, &format!("{NEW}\n{OLD}\n"));
    both.set(&name("B"), &value("two")).await.unwrap();
    let keys = |vault: &Vault| vault.list().iter().map(|secret| secret.key).collect::<Vec<_>>();
    assert_eq!(keys(&both), [KeyState::Older, KeyState::Current]);
    assert_eq!(both.reseal().await, Ok(vec![name("A")]));
    assert_eq!(both.reseal().await, Ok(vec![]));
    let new = vault(&store, NEW);
    assert_eq!((keys(&new), exposed(&new, "A").unwrap()), (vec![KeyState::Current; 2], "one".to_owned()));
}

/// Waits until a table shows this version of a secret.
pub(crate) async fn shown(store: &Arc<dyn Secrets>, secret: &str, version: u64) {
    let is = |table: &SecretTable| table.find(&name(secret)).is_some_and(|record| record.version == version);
    until(&mut store.watch(), "the secret is shown", is).await;
}
