//! Functions whose revisions together, or alone, are larger than what NATS takes in one message.

use std::time::Duration;

use async_nats::jetstream::stream;
use samovar_model::FunctionState;
use tokio::time::timeout;

use super::proxy::{Proxy, Way};
use super::server::Server;
use super::{Process, config};
use crate::contract::{name, revision};
use crate::nats::NatsConfig;
use crate::{NewRevision, Registry, RegistryError};

/// A revision whose settings take about so many bytes.
fn large(content: u32, bytes: usize) -> NewRevision {
    let mut new = revision(&name("a"), content);
    new.settings.env.insert("LARGE".to_owned(), "x".repeat(bytes));
    new
}

fn numbers(function: &FunctionState) -> Vec<u64> {
    function.revisions.iter().map(|revision| revision.number.0).collect()
}

#[tokio::test]
async fn a_function_that_outgrows_a_message_keeps_fewer_revisions() {
    let server = Server::start();
    let (process, other) = (Process::start(config(&server)).await, Process::start(config(&server)).await);
    let a = name("a");
    for content in 1..=3 {
        process.registry.deploy(&a, large(content, 300 << 10)).await.unwrap();
    }
    let deployed = process.registry.deploy(&a, large(4, 300 << 10)).await.unwrap();
    assert_eq!(numbers(&deployed.function), [2, 3, 4], "1 MiB is what a server takes by default");
    process.registry.rollback(&a, None).await.unwrap();
    process.registry.rollback(&a, None).await.unwrap();
    // Revision 2 answers, so it outlives 3, which is younger.
    let deployed = process.registry.deploy(&a, large(5, 500 << 10)).await.unwrap();
    assert_eq!(numbers(&deployed.function), [2, 5]);
    let mut watch = other.registry.watch();
    let shown = timeout(Duration::from_secs(20), watch.wait_for(|shown| shown.version >= deployed.version)).await;
    assert_eq!(shown.unwrap().unwrap().functions[&a], deployed.function, "every process shows the same");
}

#[tokio::test]
async fn a_revision_that_does_not_fit_by_itself_is_refused_and_nothing_changes() {
    let server = Server::start();
    let process = Process::start(config(&server)).await;
    let a = name("a");
    let deployed = process.registry.deploy(&a, large(1, 300 << 10)).await.unwrap();
    let refused = process.registry.deploy(&a, large(2, 1 << 20)).await.unwrap_err();
    assert!(matches!(&refused, RegistryError::TooLarge { size_bytes: 1_048_577.., .. }), "{refused}");
    assert!(refused.to_string().contains("1048320 at most"), "{refused}");
    let shown = process.registry.watch().borrow().clone();
    assert_eq!((shown.version, &shown.functions[&a]), (deployed.version, &deployed.function));
    let next = process.registry.deploy(&a, large(2, 10)).await.unwrap();
    assert_eq!((next.version, numbers(&next.function)), (deployed.version + 1, vec![1, 2]));
}

#[tokio::test]
async fn the_limit_of_the_stream_counts_as_well() {
    let server = Server::start();
    let process = Process::start(config(&server)).await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let found = jetstream.get_stream("KV_samovar_fn").await.unwrap().cached_info().config.clone();
    jetstream.update_stream(stream::Config { max_message_size: 4096, ..found }).await.unwrap();
    let a = name("a");
    process.registry.deploy(&a, large(1, 2000)).await.unwrap();
    let deployed = process.registry.deploy(&a, large(2, 2000)).await.unwrap();
    assert_eq!(numbers(&deployed.function), [2], "both together do not fit");
    let refused = process.registry.deploy(&a, large(3, 4000)).await;
    assert!(matches!(refused, Err(RegistryError::TooLarge { limit_bytes: 3840, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_message_of_the_largest_size_is_found_again_when_its_acknowledgement_was_lost() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let impatient = NatsConfig { answer_timeout: Duration::from_secs(1), ..config(&server) };
    let limits = NatsConfig { commit_timeout: Duration::from_secs(40), servers: vec![proxy.url()], ..impatient };
    let process = Process::start(limits).await;
    let a = name("a");
    process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    // The client gives the connection up when pings stay unanswered, and sends the commit again over a new one.
    proxy.hold(Way::ToClient, "{\"stream\":\"KV_samovar_fn\"");
    let deployed = process.registry.deploy(&a, large(2, 1_046_000)).await.unwrap();
    assert_eq!((deployed.version, deployed.changed), (2, true));
    proxy.release();
}
