//! What every backend of [`Registry`] and [`Artifacts`] must do, as tests that know the traits alone.
//!
//! A backend implements [`Backend`] for a value that owns its storage, and lists the tests with [`contract_tests!`].

pub(crate) mod gateways;
pub(crate) mod jobs;
pub(crate) mod key_value;
pub(crate) mod membership;
pub(crate) mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use samovar_model::manifest::{FunctionTable, RawRoutes};
use samovar_model::{ByteSize, ComponentKind, Digest, FunctionName, FunctionState, RevisionNumber, Settings};

use crate::rules::KEPT;
use crate::{ArtifactError, Artifacts, NewRevision, Registry, RegistryError, Upload, garbage};

/// Storage that can be opened again and again, as by one process after the other.
pub(crate) trait Backend: Sized {
    fn new() -> Self;
    fn open(&self) -> impl Future<Output = (Arc<dyn Registry>, Arc<dyn Artifacts>)>;
}

macro_rules! contract_tests {
    ($backend:ty) => {
        contract_tests!($backend: an_empty_registry_shows_nothing, unchanged_content_makes_no_revision,
            the_eleventh_revision_drops_the_first, numbers_are_never_reused_after_a_delete,
            a_clash_names_both_functions_and_the_route, a_route_that_no_longer_answers_is_free,
            rollback_goes_back_one_or_to_a_number, rollback_into_a_clash_is_refused,
            concurrent_deploys_of_one_name_serialise,
            a_revision_that_replaces_another_does_so_only_while_that_one_answers, every_commit_is_published_with_its_version,
            everything_survives_reopening, an_artifact_is_there_after_finish_and_not_before,
            a_dropped_upload_leaves_nothing, the_same_bytes_can_be_uploaded_twice,
            collecting_spares_what_is_referred_to_or_new);
    };
    ($backend:ty: $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::$test(&<$backend as $crate::contract::Backend>::new()).await;
        })*
    };
}
pub(crate) use contract_tests;

pub(crate) fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

fn settings(name: &FunctionName, route: Option<&str>) -> Settings {
    let table = FunctionTable { route: route.map(|path| RawRoutes::One(path.to_owned())), ..Default::default() };
    table.settings(name).unwrap()
}

/// A revision with default routes whose component is told apart by `content`.
pub(crate) fn revision(name: &FunctionName, content: u32) -> NewRevision {
    let artifact = Digest::of(&content.to_be_bytes());
    NewRevision {
        artifact,
        size: ByteSize::bytes(4),
        kind: ComponentKind::Wasi02,
        settings: settings(name, None),
        instead_of: None,
    }
}

pub(crate) fn routed(name: &FunctionName, content: u32, route: &str) -> NewRevision {
    NewRevision { settings: settings(name, Some(route)), ..revision(name, content) }
}

fn numbers(function: &FunctionState) -> Vec<u64> {
    function.revisions.iter().map(|revision| revision.number.0).collect()
}

pub(crate) async fn an_empty_registry_shows_nothing(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    assert!(registry.watch().borrow().functions.is_empty());
    assert!(matches!(registry.delete(&name("a")).await, Err(RegistryError::NoFunction(_))));
    assert!(matches!(registry.rollback(&name("a"), None).await, Err(RegistryError::NoFunction(_))));
}

pub(crate) async fn unchanged_content_makes_no_revision(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let a = name("a");
    let first = registry.deploy(&a, revision(&a, 1)).await.unwrap();
    let second = registry.deploy(&a, revision(&a, 1)).await.unwrap();
    assert!(first.changed && !second.changed);
    assert_eq!((second.version, &second.function), (first.version, &first.function));
    let other_settings = registry.deploy(&a, routed(&a, 1, "/other")).await.unwrap();
    assert!(other_settings.changed);
    assert_eq!(numbers(&other_settings.function), [1, 2]);
}

pub(crate) async fn the_eleventh_revision_drops_the_first(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let a = name("a");
    for content in 1..=10 {
        registry.deploy(&a, revision(&a, content)).await.unwrap();
    }
    assert!(registry.rollback(&a, Some(RevisionNumber(1))).await.unwrap().changed, "the first of ten is kept");
    let function = registry.deploy(&a, revision(&a, 11)).await.unwrap().function;
    assert_eq!(numbers(&function), (2..=11).collect::<Vec<_>>());
    assert_eq!(function.current, RevisionNumber(11));
    let gone = registry.rollback(&a, Some(RevisionNumber(1))).await.unwrap_err().to_string();
    assert_eq!(gone, "function `a` has no revision 1; kept are 2, 3, 4, 5, 6, 7, 8, 9, 10, 11");
}

pub(crate) async fn numbers_are_never_reused_after_a_delete(backend: &impl Backend) {
    let a = name("a");
    let (registry, _) = backend.open().await;
    registry.deploy(&a, revision(&a, 1)).await.unwrap();
    registry.deploy(&a, revision(&a, 2)).await.unwrap();
    registry.rollback(&a, None).await.unwrap();
    registry.delete(&a).await.unwrap();
    assert_eq!(numbers(&registry.deploy(&a, revision(&a, 1)).await.unwrap().function), [3]);
    registry.delete(&a).await.unwrap();
    drop(registry);
    let (registry, _) = backend.open().await;
    assert_eq!(numbers(&registry.deploy(&a, revision(&a, 1)).await.unwrap().function), [4]);
}

pub(crate) async fn a_clash_names_both_functions_and_the_route(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let (cart, shop) = (name("cart"), name("shop"));
    registry.deploy(&cart, routed(&cart, 1, "/cart/{id}")).await.unwrap();
    let refused = registry.deploy(&shop, routed(&shop, 2, "/cart/{item}")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "route /cart/{item} of function `shop` clashes with function `cart`, which has it already"
    );
    assert!(!registry.watch().borrow().functions.contains_key(&shop));
}

pub(crate) async fn a_route_that_no_longer_answers_is_free(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let (a, b) = (name("a"), name("b"));
    registry.deploy(&a, routed(&a, 1, "/x")).await.unwrap();
    registry.deploy(&a, routed(&a, 1, "/y")).await.unwrap();
    registry.deploy(&b, routed(&b, 1, "/x")).await.unwrap();
    registry.delete(&b).await.unwrap();
    assert!(registry.rollback(&a, None).await.is_ok());
}

pub(crate) async fn rollback_goes_back_one_or_to_a_number(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let a = name("a");
    for content in 1..=3 {
        registry.deploy(&a, revision(&a, content)).await.unwrap();
    }
    let back = registry.rollback(&a, None).await.unwrap();
    assert_eq!((back.function.current.0, back.changed), (2, true));
    assert_eq!(registry.rollback(&a, None).await.unwrap().function.current.0, 1);
    assert!(matches!(registry.rollback(&a, None).await, Err(RegistryError::NothingBefore(_))));
    let forward = registry.rollback(&a, Some(RevisionNumber(3))).await.unwrap();
    assert_eq!((forward.function.current.0, numbers(&forward.function)), (3, vec![1, 2, 3]));
    assert!(!registry.rollback(&a, Some(RevisionNumber(3))).await.unwrap().changed);
    assert_eq!(registry.deploy(&a, revision(&a, 4)).await.unwrap().function.current.0, 4);
}

pub(crate) async fn rollback_into_a_clash_is_refused(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let (a, b) = (name("a"), name("b"));
    registry.deploy(&a, routed(&a, 1, "/x")).await.unwrap();
    registry.deploy(&a, routed(&a, 1, "/y")).await.unwrap();
    registry.deploy(&b, routed(&b, 1, "/x")).await.unwrap();
    assert!(matches!(registry.rollback(&a, None).await, Err(RegistryError::Clash(_))));
    assert_eq!(registry.watch().borrow().functions[&a].current.0, 2);
}

pub(crate) async fn concurrent_deploys_of_one_name_serialise(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let a = name("a");
    let deploy = |content| {
        let (registry, a) = (registry.clone(), a.clone());
        tokio::spawn(async move { registry.deploy(&a, revision(&a, content)).await.unwrap().function.current.0 })
    };
    let tasks: Vec<_> = (0..8).map(deploy).collect();
    let mut given = BTreeSet::new();
    for task in tasks {
        given.insert(task.await.unwrap());
    }
    assert_eq!(given, (1..=8).collect());
    assert_eq!(numbers(&registry.watch().borrow().functions[&a]), (1..=8).collect::<Vec<_>>());
}

pub(crate) async fn a_revision_that_replaces_another_does_so_only_while_that_one_answers(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let a = name("a");
    let instead_of =
        |number: u64, content| NewRevision { instead_of: Some(RevisionNumber(number)), ..revision(&a, content) };
    let missing = registry.deploy(&a, instead_of(1, 1)).await.unwrap_err();
    assert!(matches!(missing, RegistryError::NoFunction(_)), "{missing}");
    registry.deploy(&a, revision(&a, 1)).await.unwrap();
    assert_eq!(registry.deploy(&a, instead_of(1, 2)).await.unwrap().function.current, RevisionNumber(2));
    let overtaken = registry.deploy(&a, instead_of(1, 3)).await.unwrap_err();
    assert_eq!(overtaken.to_string(), "function `a`: revision 1 was to be changed, and revision 2 answers by now");
    // What is asked for is there already: but it was made out of something that is not.
    assert!(registry.deploy(&a, instead_of(1, 2)).await.is_err());
    assert!(!registry.deploy(&a, instead_of(2, 2)).await.unwrap().changed);
}

pub(crate) async fn every_commit_is_published_with_its_version(backend: &impl Backend) {
    let (registry, _) = backend.open().await;
    let a = name("a");
    let mut watch = registry.watch();
    let before = watch.borrow_and_update().version;
    let deployed = registry.deploy(&a, revision(&a, 1)).await.unwrap();
    assert!(deployed.version > before);
    let shown = watch.wait_for(|snapshot| snapshot.version >= deployed.version).await.unwrap().clone();
    assert_eq!(shown.functions[&a], deployed.function);
    let version = registry.delete(&a).await.unwrap();
    assert!(version > deployed.version);
    assert!(watch.wait_for(|s| s.version >= version).await.unwrap().functions.is_empty());
}

pub(crate) async fn everything_survives_reopening(backend: &impl Backend) {
    let (a, b) = (name("a"), name("b"));
    let (registry, artifacts) = backend.open().await;
    let digest = store(&*artifacts, b"bytes").await;
    registry.deploy(&a, revision(&a, 1)).await.unwrap();
    registry.deploy(&a, revision(&a, 2)).await.unwrap();
    registry.deploy(&b, revision(&b, 1)).await.unwrap();
    registry.rollback(&a, None).await.unwrap();
    let before = registry.watch().borrow().clone();
    drop((registry, artifacts));
    let (registry, artifacts) = backend.open().await;
    let after = registry.watch().borrow().clone();
    assert_eq!(after.functions, before.functions);
    assert!(after.version >= before.version);
    assert_eq!(std::fs::read(artifacts.file(&digest).await.unwrap()).unwrap(), b"bytes");
}

async fn upload(artifacts: &dyn Artifacts, bytes: &[u8]) -> Box<dyn Upload> {
    let mut upload = artifacts.begin().await.unwrap();
    for chunk in bytes.chunks(2) {
        upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    upload
}

pub(crate) async fn store(artifacts: &dyn Artifacts, bytes: &[u8]) -> Digest {
    upload(artifacts, bytes).await.finish().await.unwrap()
}

pub(crate) async fn an_artifact_is_there_after_finish_and_not_before(backend: &impl Backend) {
    let (_, artifacts) = backend.open().await;
    let digest = Digest::of(b"component");
    let mut upload = upload(&*artifacts, b"component").await;
    let (file, peeked) = upload.peek().await.unwrap();
    assert_eq!((std::fs::read(file).unwrap().as_slice(), peeked), (b"component".as_slice(), digest));
    assert!(matches!(artifacts.file(&digest).await, Err(ArtifactError::Missing(d)) if d == digest));
    assert_eq!(upload.finish().await.unwrap(), digest);
    assert_eq!(std::fs::read(artifacts.file(&digest).await.unwrap()).unwrap(), b"component");
}

pub(crate) async fn a_dropped_upload_leaves_nothing(backend: &impl Backend) {
    let (_, artifacts) = backend.open().await;
    let mut upload = upload(&*artifacts, b"half").await;
    let (file, digest) = upload.peek().await.unwrap();
    drop(upload);
    assert!(!file.exists());
    assert!(matches!(artifacts.file(&digest).await, Err(ArtifactError::Missing(_))));
}

pub(crate) async fn the_same_bytes_can_be_uploaded_twice(backend: &impl Backend) {
    let (_, artifacts) = backend.open().await;
    let digest = store(&*artifacts, b"same").await;
    let mut second = upload(&*artifacts, b"same").await;
    let (temp, _) = second.peek().await.unwrap();
    assert_eq!(second.finish().await.unwrap(), digest);
    assert!(!temp.exists());
    assert_eq!(std::fs::read(artifacts.file(&digest).await.unwrap()).unwrap(), b"same");
}

pub(crate) async fn collecting_spares_what_is_referred_to_or_new(backend: &impl Backend) {
    let a = name("a");
    let (registry, artifacts) = backend.open().await;
    let (used, unused) = (store(&*artifacts, b"used").await, store(&*artifacts, b"unused").await);
    registry.deploy(&a, NewRevision { artifact: used, ..revision(&a, 1) }).await.unwrap();
    drop((registry, artifacts));

    let (registry, artifacts) = backend.open().await;
    let new = store(&*artifacts, b"new").await;
    let collected = garbage::collect(&*registry, &*artifacts).await.unwrap();
    assert_eq!((collected.kept, collected.removed), (BTreeSet::from([used]), 1));
    assert!(artifacts.file(&used).await.is_ok() && artifacts.file(&new).await.is_ok());
    assert!(matches!(artifacts.file(&unused).await, Err(ArtifactError::Missing(_))));
}

/// A step of the random test. Names and contents are few, so that steps meet.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Deploy { name: usize, content: u32, shared_route: bool },
    Rollback { name: usize, number: Option<u64> },
    Delete { name: usize },
    Reopen,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3usize, 0..4u32, prop::bool::weighted(0.2))
            .prop_map(|(name, content, shared_route)| Step::Deploy { name, content, shared_route }),
        3 => (0..3usize, prop::option::of(1..15u64)).prop_map(|(name, number)| Step::Rollback { name, number }),
        1 => (0..3usize).prop_map(|name| Step::Delete { name }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// A revision of the model: its number, its content, and whether it has the one route that functions share.
type Kept = (u64, u32, bool);

/// What the registry should hold: per function the current number and all revisions.
#[derive(Debug, Default)]
struct Model {
    functions: BTreeMap<usize, (u64, Vec<Kept>)>,
    last: BTreeMap<usize, u64>,
}

impl Model {
    /// Whether another function's current revision has the one route that functions share.
    fn taken(&self, name: usize) -> bool {
        self.functions.iter().any(|(other, (current, kept))| {
            *other != name && kept.iter().any(|(number, _, shared)| number == current && *shared)
        })
    }

    /// Takes the step; whether it should succeed.
    fn take(&mut self, step: &Step) -> bool {
        match *step {
            Step::Reopen => true,
            Step::Delete { name } => self.functions.remove(&name).is_some(),
            Step::Deploy { name, content, shared_route } => {
                let same = self
                    .functions
                    .get(&name)
                    .is_some_and(|(current, kept)| kept.contains(&(*current, content, shared_route)));
                if same || (shared_route && self.taken(name)) {
                    return same;
                }
                let last = self.last.entry(name).or_default();
                *last += 1;
                let (current, kept) = self.functions.entry(name).or_default();
                *current = *last;
                kept.push((*last, content, shared_route));
                if kept.len() > KEPT {
                    kept.remove(0);
                }
                true
            }
            Step::Rollback { name, number } => {
                let taken = self.taken(name);
                let Some((current, kept)) = self.functions.get_mut(&name) else { return false };
                let before = kept.iter().map(|(number, ..)| *number).filter(|number| number < current).max();
                let target = number.or(before);
                let Some((target, _, shared)) = kept.iter().find(|(number, ..)| Some(*number) == target) else {
                    return false;
                };
                if *shared && taken && target != current {
                    return false;
                }
                *current = *target;
                true
            }
        }
    }
}

/// Runs the steps against a backend and the model, comparing after each.
pub(crate) async fn the_registry_follows_its_model(backend: &impl Backend, steps: Vec<Step>) {
    let names = ["a", "b", "c"].map(name);
    let mut model = Model::default();
    let (mut registry, mut artifacts) = backend.open().await;
    for step in steps {
        let done = match &step {
            Step::Reopen => {
                drop((registry, artifacts));
                (registry, artifacts) = backend.open().await;
                true
            }
            Step::Delete { name } => registry.delete(&names[*name]).await.is_ok(),
            Step::Rollback { name, number } => {
                registry.rollback(&names[*name], number.map(RevisionNumber)).await.is_ok()
            }
            Step::Deploy { name, content, shared_route } => {
                let name = &names[*name];
                let new = if *shared_route { routed(name, *content, "/shared") } else { revision(name, *content) };
                registry.deploy(name, new).await.is_ok()
            }
        };
        assert_eq!(done, model.take(&step), "{step:?}");
        let snapshot = registry.watch().borrow().clone();
        let shown: BTreeMap<_, _> =
            snapshot.functions.values().map(|f| (f.name.clone(), (f.current.0, contents(f)))).collect();
        let expected: BTreeMap<_, _> = model
            .functions
            .iter()
            .map(|(name, (current, kept))| {
                let kept = kept.iter().map(|(number, content, _)| (*number, Digest::of(&content.to_be_bytes())));
                (names[*name].clone(), (*current, kept.collect::<Vec<_>>()))
            })
            .collect();
        assert_eq!(shown, expected, "after {step:?}");
    }
}

fn contents(function: &FunctionState) -> Vec<(u64, Digest)> {
    function.revisions.iter().map(|revision| (revision.number.0, revision.artifact)).collect()
}
