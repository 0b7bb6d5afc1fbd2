//! The contract against a real server, and what is this backend's own.

use std::sync::Arc;

use samovar_model::Span;
use samovar_test_redis::Server;

use super::{RedisConfig, RedisConfigError, RedisKeyValue};
use crate::contract::key_value::{Stores, bucket, key_value_tests, put, value};
use crate::{KeyValue, KeyValueError};

fn config(server: &Server) -> RedisConfig {
    RedisConfig::new(server.url())
}

/// One server, and one process after the other.
struct Kept {
    server: Server,
}

impl Stores for Kept {
    const SHORT: Span = Span::millis(300);

    async fn new() -> Self {
        Self { server: Server::start("") }
    }

    async fn open(&self) -> Arc<dyn KeyValue> {
        Arc::new(RedisKeyValue::open(&config(&self.server)).await.unwrap())
    }
}

key_value_tests!(Kept);

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_is_used_when_it_is_back() {
    let mut server = Server::start("");
    let (store, bucket) = (RedisKeyValue::open(&config(&server)).await.unwrap(), bucket("a"));
    put(&store, &bucket, "k", "x").await;
    server.kill();
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        let read = store.get(&bucket, "k").await;
        assert!(matches!(read, Err(KeyValueError::Unavailable(_))), "{read:?}");
        let written = store.increment(&bucket, "n", 1).await;
        assert!(matches!(written, Err(KeyValueError::Unavailable(_) | KeyValueError::Unknown(_))), "{written:?}");
    }
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    server.restart();
    let mut again = store.increment(&bucket, "n", 1).await;
    while matches!(again, Err(KeyValueError::Unavailable(_) | KeyValueError::Unknown(_)))
        && begun.elapsed().as_secs() < 60
    {
        again = store.increment(&bucket, "n", 1).await;
    }
    assert!(again.is_ok(), "{again:?}");
    assert_eq!(value(&store, &bucket, "k").await, Some("x".into()), "it was in the append-only file");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_long() {
    let server = Server::start("");
    let (store, bucket) = (RedisKeyValue::open(&config(&server)).await.unwrap(), bucket("a"));
    server.stop();
    let begun = std::time::Instant::now();
    let (read, written) = tokio::join!(store.get(&bucket, "k"), store.increment(&bucket, "n", 1));
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    server.resume();
    assert!(matches!(read, Err(KeyValueError::Unavailable(_))), "{read:?}");
    assert!(matches!(written, Err(KeyValueError::Unknown(_))), "{written:?}");
}

#[tokio::test]
async fn a_process_starts_without_the_server_and_not_with_a_wrong_login() {
    let server = Server::start("requirepass sesame");
    let refused = RedisKeyValue::open(&config(&server)).await.err().expect("a refusal");
    assert!(matches!(refused, RedisConfigError::Refused { .. }), "{refused}");
    assert!(refused.to_string().contains("give the login"), "{refused}");
    let login = RedisConfig::new(server.url().replace("redis://", "redis://:sesame@"));
    put(&RedisKeyValue::open(&login).await.unwrap(), &bucket("a"), "k", "x").await;
    assert!(RedisKeyValue::open(&RedisConfig::new("redis://127.0.0.1:1")).await.is_ok());
}

#[tokio::test]
async fn two_clusters_share_a_server_by_namespaces() {
    let server = Server::start("");
    let bucket = bucket("a");
    for namespace in ["blue", "green"] {
        let config = RedisConfig { namespace: namespace.to_owned(), ..config(&server) };
        let store = RedisKeyValue::open(&config).await.unwrap();
        assert_eq!(value(&store, &bucket, "k").await, None);
        put(&store, &bucket, "k", namespace).await;
        assert_eq!(store.buckets().await.unwrap().len(), 1);
    }
}
