//! Commits when answers are lost, servers stop, and several processes commit at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use samovar_model::RevisionNumber;
use tokio::time::{sleep, timeout};

use super::proxy::{Proxy, Way};
use super::server::Server;
use super::uploading::Uploading;
use super::{Process, config};
use crate::contract::{name, revision, routed};
use crate::nats::NatsConfig;
use crate::{Registry, RegistryError};

/// What a commit to the registry looks like on the wire, and the acknowledgement of one.
const COMMIT: &str = "HPUB $KV.samovar_fn.";
const ACKNOWLEDGEMENT: &str = "{\"stream\":\"KV_samovar_fn\"";

/// Through a proxy, with little patience.
fn held_up(proxy: &Proxy, server: &Server, commit_timeout: Duration) -> NatsConfig {
    let answer_timeout = Duration::from_millis(500);
    NatsConfig { servers: vec![proxy.url()], answer_timeout, commit_timeout, ..config(server) }
}

async fn shows(registry: &Uploading, version: u64) {
    let mut watch = registry.watch();
    let shown = timeout(Duration::from_secs(20), watch.wait_for(|snapshot| snapshot.version >= version)).await;
    drop(shown.expect("the watch shows it in time").unwrap());
}

#[tokio::test]
async fn of_two_processes_that_want_one_route_exactly_one_gets_it() {
    let server = Server::start();
    race(&config(&server), &config(&server), 15).await;
}

/// Two processes deploy two functions with one route, again and again.
pub(super) async fn race(first: &NatsConfig, second: &NatsConfig, rounds: u32) {
    let (one, two) = (Process::start(first.clone()).await, Process::start(second.clone()).await);
    let (a, b) = (name("a"), name("b"));
    for round in 0..rounds {
        let route = format!("/contested/{round}");
        let (first, second) = tokio::join!(
            one.registry.deploy(&a, routed(&a, round, &route)),
            two.registry.deploy(&b, routed(&b, round, &route))
        );
        match (&first, &second) {
            (Ok(_), Err(RegistryError::Clash(_))) | (Err(RegistryError::Clash(_)), Ok(_)) => {}
            both => panic!("round {round}: {both:?}"),
        }
    }
}

#[tokio::test]
async fn a_version_is_the_same_commit_in_every_process() {
    let server = Server::start();
    let (one, two) = (Process::start(config(&server)).await, Process::start(config(&server)).await);
    let (a, b) = (name("a"), name("b"));
    one.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    let deployed = two.registry.deploy(&b, revision(&b, 1)).await.unwrap();
    shows(&one.registry, deployed.version).await;
    let (first, second) = (one.registry.watch().borrow().clone(), two.registry.watch().borrow().clone());
    assert_eq!((first.version, &first.functions), (second.version, &second.functions));
    assert_eq!(first.functions.len(), 2);
    let again = one.registry.deploy(&b, revision(&b, 1)).await.unwrap();
    assert_eq!((again.changed, again.version), (false, deployed.version));
}

#[tokio::test]
async fn a_commit_whose_acknowledgement_is_late_happens_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let process = Process::start(held_up(&proxy, &server, Duration::from_secs(20))).await;
    let a = name("a");
    process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    proxy.hold(Way::ToClient, ACKNOWLEDGEMENT);
    let release = async {
        proxy.holds().await;
        sleep(Duration::from_millis(1200)).await;
        proxy.release();
    };
    let new = revision(&a, 2);
    let (deployed, ()) = tokio::join!(process.registry.deploy(&a, new), release);
    let deployed = deployed.unwrap();
    assert!(deployed.changed);
    assert_eq!((deployed.version, deployed.function.current), (2, RevisionNumber(2)));
    let next = process.registry.deploy(&a, revision(&a, 3)).await.unwrap();
    assert_eq!((next.version, next.function.current), (3, RevisionNumber(3)));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_cannot_undo_a_later_one() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let slow = Process::start(held_up(&proxy, &server, Duration::from_secs(2))).await;
    let quick = Process::start(config(&server)).await;
    let a = name("a");
    proxy.hold(Way::ToServer, COMMIT);
    let outcome = slow.registry.deploy(&a, revision(&a, 1)).await;
    assert!(matches!(outcome, Err(RegistryError::Unknown(_))), "{outcome:?}");
    let deployed = quick.registry.deploy(&a, revision(&a, 2)).await.unwrap();
    proxy.release();
    sleep(Duration::from_secs(1)).await;
    let after = quick.registry.deploy(&a, revision(&a, 3)).await.unwrap();
    assert_eq!(after.version, deployed.version + 1, "the ghost was not applied");
    let contents: Vec<_> = after.function.revisions.iter().map(|r| (r.number.0, r.artifact)).collect();
    assert_eq!(contents, [(1, revision(&a, 2).artifact), (2, revision(&a, 3).artifact)]);
    shows(&slow.registry, after.version).await;
    assert_eq!(slow.registry.deploy(&a, revision(&a, 4)).await.unwrap().function.current, RevisionNumber(3));
}

#[tokio::test]
async fn a_commit_that_was_sent_again_over_a_new_connection_is_not_applied_twice() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let process = Process::start(held_up(&proxy, &server, Duration::from_secs(40))).await;
    let a = name("a");
    proxy.hold(Way::ToServer, COMMIT);
    // The client gives the connection up when pings stay unanswered; the copies in it stay on their way.
    let deployed = process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    assert_eq!((deployed.changed, deployed.version), (true, 1));
    proxy.release();
    sleep(Duration::from_secs(1)).await;
    let next = process.registry.deploy(&a, revision(&a, 2)).await.unwrap();
    assert_eq!((next.version, next.function.revisions.len()), (2, 2));
}

#[tokio::test]
async fn a_stopped_server_makes_the_outcome_unknown_and_never_half() {
    let server = Server::start();
    let limits = NatsConfig { commit_timeout: Duration::from_secs(2), ..config(&server) };
    let process = Process::start(NatsConfig { answer_timeout: Duration::from_millis(500), ..limits }).await;
    let a = name("a");
    process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    process.registry.upload(&revision(&a, 2).artifact).await.unwrap();
    server.stop();
    let outcome = process.registry.deploy(&a, revision(&a, 2)).await;
    assert!(matches!(outcome, Err(RegistryError::Unavailable(_) | RegistryError::Unknown(_))), "{outcome:?}");
    assert_eq!(process.registry.watch().borrow().functions[&a].current, RevisionNumber(1), "the last table is kept");
    server.resume();
    let deployed = retry(&process.registry, 3).await;
    assert_eq!(
        deployed.last_key_value().map(|(number, _)| *number),
        Some(deployed.len() as u64),
        "numbers have no gap"
    );
}

/// Deploys until it is acknowledged. Answers what the registry then holds: content by number.
async fn retry(registry: &Uploading, content: u32) -> BTreeMap<u64, samovar_model::Digest> {
    let a = name("a");
    loop {
        match registry.deploy(&a, revision(&a, content)).await {
            Ok(done) => return done.function.revisions.iter().map(|r| (r.number.0, r.artifact)).collect(),
            Err(RegistryError::Unavailable(_) | RegistryError::Unknown(_)) => sleep(Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Deploys one content after the other until told to end; answers what was acknowledged.
pub(super) async fn deploy_all_along(
    registry: Arc<Uploading>,
    function: &str,
    end: tokio::sync::watch::Receiver<bool>,
) -> BTreeMap<u64, samovar_model::Digest> {
    let a = name(function);
    let mut acknowledged = BTreeMap::new();
    for content in 0.. {
        let new = revision(&a, content);
        match registry.deploy(&a, new.clone()).await {
            Ok(deployed) => drop(acknowledged.insert(deployed.function.current.0, new.artifact)),
            Err(RegistryError::Unavailable(_) | RegistryError::Unknown(_)) => sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
        if *end.borrow() {
            break;
        }
    }
    acknowledged
}

/// Every acknowledged commit that the function still keeps is there as it was.
pub(super) fn assert_all_there(
    registry: &Uploading,
    function: &str,
    acknowledged: &BTreeMap<u64, samovar_model::Digest>,
) {
    let function = registry.watch().borrow().functions[&name(function)].clone();
    let last = *acknowledged.last_key_value().expect("something was acknowledged").0;
    assert!(function.current.0 >= last, "the last acknowledged commit, {last}, is there: {}", function.current);
    for revision in &function.revisions {
        if let Some(artifact) = acknowledged.get(&revision.number.0) {
            assert_eq!(revision.artifact, *artifact, "revision {}", revision.number);
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_stop_and_a_kill_in_the_middle_of_commits() {
    let mut server = Server::start();
    let limits = NatsConfig { answer_timeout: Duration::from_millis(500), ..config(&server) };
    let process = Process::start(NatsConfig { commit_timeout: Duration::from_secs(3), ..limits }).await;
    let (end, ended) = tokio::sync::watch::channel(false);
    let registry = process.registry.clone();
    let deploys = tokio::spawn(async move { deploy_all_along(registry, "a", ended).await });
    sleep(Duration::from_millis(500)).await;
    server.stop();
    sleep(Duration::from_secs(2)).await;
    server.resume();
    for _ in 0..2 {
        sleep(Duration::from_millis(700)).await;
        server.restart();
    }
    sleep(Duration::from_secs(1)).await;
    end.send_replace(true);
    let acknowledged = deploys.await.unwrap();
    assert_all_there(&process.registry, "a", &acknowledged);
    let fresh = Process::start(config(&server)).await;
    assert_all_there(&fresh.registry, "a", &acknowledged);
    let shown = fresh.registry.watch().borrow().clone();
    shows(&process.registry, shown.version).await;
    assert_eq!(process.registry.watch().borrow().functions, shown.functions, "both processes show the same");
}

#[tokio::test]
async fn while_nats_is_away_the_table_stays_and_commits_are_refused() {
    let mut server = Server::start();
    let (process, other) = (Process::start(config(&server)).await, Process::start(config(&server)).await);
    let a = name("a");
    process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    server.kill();
    sleep(Duration::from_millis(300)).await;
    let refused = process.registry.deploy(&a, revision(&a, 2)).await;
    assert!(matches!(refused, Err(RegistryError::Unavailable(_))), "{refused:?}");
    assert_eq!(process.registry.watch().borrow().functions[&a].current, RevisionNumber(1));
    server.restart();
    let mut watch = process.registry.watch();
    watch.mark_unchanged();
    let numbers = retry(&other.registry, 2).await;
    assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), [1, 2]);
    shows(&process.registry, 2).await;
    assert_eq!(process.registry.watch().borrow().functions[&a].current, RevisionNumber(2), "the watch is back");
}

#[tokio::test]
async fn a_process_starts_without_nats_on_what_its_directory_knows() {
    let mut server = Server::start();
    let process = Process::start(config(&server)).await;
    let a = name("a");
    let deployed = process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    while !process.dir.path().join("registry.json").exists() {
        sleep(Duration::from_millis(10)).await;
    }
    let dir = process.stop();
    server.kill();
    let impatient = NatsConfig { patience: Duration::from_millis(300), ..config(&server) };
    let process = Process::start_in(dir, impatient.clone()).await.unwrap();
    assert_eq!(process.registry.watch().borrow().functions[&a], deployed.function);
    let refused = process.registry.deploy(&a, revision(&a, 2)).await;
    assert!(matches!(refused, Err(RegistryError::Unavailable(_))), "{refused:?}");
    let nothing = Process::start_in(tempfile::tempdir().unwrap(), impatient).await.err().expect("nothing to serve");
    assert!(matches!(&nothing, RegistryError::Unavailable(text) if text.contains("NATS is away")), "{nothing}");
    server.restart();
    assert_eq!(retry(&process.registry, 2).await.len(), 2);
}
