//! What functions keep: the contract against one server, and what is this backend's own.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_TTL;
use bytes::Bytes;
use samovar_model::{Bucket, Span};
use tokio::time::{Instant, sleep, timeout};

use super::config;
use super::proxy::{Proxy, Way};
use super::server::Server;
use crate::contract::key_value::{Stores, bucket, key_value_tests, put, value};
use crate::key_value::{Range, Write};
use crate::nats::{Nats, NatsConfig, NatsKeyValue};
use crate::{KeyValue, KeyValueError};

/// One server, and one process after the other.
struct Kept {
    server: Server,
}

async fn process(config: NatsConfig) -> Arc<NatsKeyValue> {
    Arc::new(NatsKeyValue::open(&Nats::connect(config).await.unwrap()))
}

impl Stores for Kept {
    const SHORT: Span = Span::millis(300);

    async fn new() -> Self {
        Self { server: Server::start() }
    }

    async fn open(&self) -> Arc<dyn KeyValue> {
        process(config(&self.server)).await
    }
}

key_value_tests!(Kept);

/// Counts until it is told to stop; answers what was acknowledged, and how many it cannot tell of.
pub(super) async fn count_all_along(
    store: Arc<NatsKeyValue>,
    bucket: Bucket,
    ended: tokio::sync::watch::Receiver<bool>,
) -> (i64, i64) {
    let (mut acknowledged, mut unknown) = (0, 0);
    while !*ended.borrow() {
        match store.increment(&bucket, "n", 1).await {
            Ok(_) => acknowledged += 1,
            Err(KeyValueError::Unknown(_)) => unknown += 1,
            Err(KeyValueError::Unavailable(_)) => sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    (acknowledged, unknown)
}

#[tokio::test]
async fn processes_read_each_others_writes_and_count_together() {
    let server = Server::start();
    let bucket = bucket("a");
    let (one, other) = (process(config(&server)).await, process(config(&server)).await);
    for number in 0..20_i64 {
        put(&*one, &bucket, "k", number.to_string()).await;
        assert_eq!(value(&*other, &bucket, "k").await, Some(number.to_string().into()));
        assert_eq!(other.increment(&bucket, "k", 1).await.unwrap(), number + 1);
        let keys = one.list(&bucket, Range { limit: 9, ..Range::default() }).await.unwrap().keys;
        assert_eq!(
            (keys, value(&*one, &bucket, "k").await),
            (vec!["k".to_owned()], Some((number + 1).to_string().into()))
        );
    }
    let count = |store: &Arc<NatsKeyValue>| {
        let (store, bucket) = (Arc::clone(store), bucket.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                store.increment(&bucket, "n", 1).await.unwrap();
            }
        })
    };
    let tasks = [count(&one), count(&other), count(&one), count(&other)];
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&*one, &bucket, "n").await, Some("200".into()));
    assert_eq!(one.buckets().await.unwrap(), other.buckets().await.unwrap());
    assert_eq!(one.buckets().await.unwrap()[0].bytes, 2 + 3 + 2, "`k` with 20, `n` with 200");
}

#[tokio::test]
async fn while_nats_is_away_everything_fails_soon_and_then_works_again() {
    let mut server = Server::start();
    let (store, bucket) = (process(config(&server)).await, bucket("a"));
    put(&*store, &bucket, "k", "x").await;
    server.kill();
    let begun = Instant::now();
    let write = store.write(&bucket, vec![Write { key: "k".to_owned(), value: None }]);
    let all = Range { limit: 1, ..Range::default() };
    let (read, written, listed, counted) =
        tokio::join!(store.get(&bucket, "k"), write, store.list(&bucket, all), store.increment(&bucket, "n", 1));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for error in [read.err(), written.err(), listed.err(), counted.err()] {
        assert!(matches!(error, Some(KeyValueError::Unavailable(_))), "{error:?}");
    }
    server.restart();
    let back = async {
        while store.increment(&bucket, "n", 1).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), back).await.expect("it works again");
    assert_eq!(value(&*store, &bucket, "k").await, Some("x".into()));
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_a_write_unknown() {
    let server = Server::start();
    let (store, bucket) = (process(config(&server)).await, bucket("a"));
    assert_eq!(store.increment(&bucket, "n", 1).await.unwrap(), 1);
    server.stop();
    let begun = Instant::now();
    let (read, written) = tokio::join!(store.get(&bucket, "n"), store.increment(&bucket, "n", 1));
    let took = begun.elapsed();
    server.resume();
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(matches!(read, Err(KeyValueError::Unavailable(_))), "{read:?}");
    assert!(matches!(written, Err(KeyValueError::Unknown(_))), "{written:?}");
}

#[tokio::test]
async fn a_count_whose_answer_was_lost_is_not_made_twice() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let impatient = NatsConfig { answer_timeout: Duration::from_secs(1), ..config(&server) };
    let store = process(NatsConfig { servers: vec![proxy.url()], ..impatient }).await;
    let bucket = bucket("a");
    assert_eq!(store.increment(&bucket, "n", 1).await.unwrap(), 1);
    proxy.hold(Way::ToClient, "{\"stream\":\"KV_samovar_kv\"");
    let store_for_task = Arc::clone(&store);
    let bucket_for_task = bucket.clone();
    let counted = tokio::spawn(async move { store_for_task.increment(&bucket_for_task, "n", 1).await });
    proxy.holds().await;
    sleep(Duration::from_millis(1500)).await;
    proxy.release();
    let counted = counted.await.unwrap();
    assert!(matches!(counted, Ok(2)), "{counted:?}");
    assert_eq!(value(&*store, &bucket, "n").await, Some("2".into()));
}

#[tokio::test]
async fn a_value_is_as_long_as_two_messages_and_a_longer_one_is_refused_by_name() {
    let server = Server::with(|store| {
        format!("max_payload: 65536\njetstream {{ store_dir: \"{store}\", sync_interval: always }}")
    });
    let (store, bucket) = (process(config(&server)).await, bucket("a"));
    for size in [60_000, 100_000, 10, 126_000] {
        put(&*store, &bucket, "k", vec![7; size]).await;
        assert_eq!(value(&*store, &bucket, "k").await.unwrap(), Bytes::from(vec![7; size]));
    }
    let write = Write { key: "k".to_owned(), value: Some(vec![7; 200_000].into()) };
    let refused = store.write(&bucket, vec![write]).await.unwrap_err();
    assert!(matches!(&refused, KeyValueError::Invalid(text) if text.contains("max_payload")), "{refused}");
    assert_eq!(value(&*store, &bucket, "k").await.unwrap().len(), 126_000);
    assert_eq!(store.buckets().await.unwrap()[0].bytes, 126_001);
}

#[tokio::test]
async fn whoever_finds_a_bucket_half_cleared_ends_it() {
    let server = Server::start();
    let (store, bucket) = (process(config(&server)).await, bucket("a"));
    put(&*store, &bucket, "old", "x").await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let ledger = "{\"keys\":1,\"bytes\":4,\"clearing\":1,\"commits\":[\"x\"]}";
    jetstream.publish("$KV.samovar_kv.shop.a.l", ledger.into()).await.unwrap().await.unwrap();
    put(&*store, &bucket, "new", "y").await;
    assert_eq!((value(&*store, &bucket, "old").await, value(&*store, &bucket, "new").await), (None, Some("y".into())));
    let usage = store.buckets().await.unwrap();
    assert_eq!((usage[0].keys, usage[0].bytes), (1, 4));
}

/// What says that a key was deleted is to go by itself: by this header, which the stream must allow.
#[tokio::test]
async fn the_server_forgets_a_message_when_its_time_is_over() {
    let server = Server::start();
    let (store, bucket) = (process(config(&server)).await, bucket("a"));
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_TTL, "1s");
    let sent = jetstream.publish_with_headers("$KV.samovar_kv.shop.a.k.k", headers, "x".into()).await.unwrap();
    sent.await.unwrap();
    assert_eq!(value(&*store, &bucket, "k").await, Some("x".into()));
    let gone = async {
        while value(&*store, &bucket, "k").await.is_some() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("it goes");
}
