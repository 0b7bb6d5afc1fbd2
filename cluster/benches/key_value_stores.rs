//! What a store of buckets on another server does in a second, and how long one call takes.
//!
//! `KEY_VALUE_STORE=nats://127.0.0.1:4222 cargo bench -p samovar-cluster --bench key_value_stores`, or `redis://…`. It writes to a
//! namespace of its own, `samovar-bench`, and clears its bucket at the end. `KEY_VALUE_SECONDS` is how long each case takes.
#![allow(clippy::unwrap_used, reason = "a measurement that meets an error should stop there")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use samovar_cluster::KeyValue;
use samovar_cluster::key_value::{Range, Write};
use samovar_cluster::nats::{Nats, NatsConfig, NatsKeyValue};
use samovar_cluster::redis::{RedisConfig, RedisKeyValue};
use samovar_model::{Bucket, BucketGrant, ByteSize};

/// Keys that are read and written at random, and the size of their values in bytes.
const KEYS: u64 = 10_000;
const VALUE_BYTES: usize = 100;

#[derive(Debug, Clone, Copy)]
enum Case {
    Get,
    Put,
    Increment,
}

fn bucket() -> Bucket {
    let grant = BucketGrant { max_bytes: ByteSize::mib(1024), ..BucketGrant::default() };
    grant.bucket(&"bench".parse().unwrap(), &"values".parse().unwrap())
}

async fn open(url: &str) -> Arc<dyn KeyValue> {
    let namespace = "samovar-bench".to_owned();
    if url.starts_with("redis") {
        let config = RedisConfig { namespace, ..RedisConfig::new(url) };
        return Arc::new(RedisKeyValue::open(&config).await.unwrap());
    }
    let nats = Nats::connect(NatsConfig { namespace, ..NatsConfig::new([url]) }).await.unwrap();
    Arc::new(NatsKeyValue::open(&nats))
}

fn write(key: String) -> Write {
    Write { key, value: Some(vec![7; VALUE_BYTES].into()) }
}

async fn once(store: &dyn KeyValue, bucket: &Bucket, case: Case, number: u64) {
    let key = format!("key-{:08}", number.wrapping_mul(2_654_435_761) % KEYS);
    match case {
        Case::Get => assert!(store.get(bucket, &key).await.unwrap().is_some()),
        Case::Put => store.write(bucket, vec![write(key)]).await.unwrap(),
        Case::Increment => drop(store.increment(bucket, &format!("counter-{}", number % 8), 1).await.unwrap()),
    }
}

async fn measure(store: &Arc<dyn KeyValue>, case: Case, tasks: u64) {
    let seconds = std::env::var("KEY_VALUE_SECONDS").ok().and_then(|text| text.parse().ok());
    let (begin, span) = (Instant::now(), Duration::from_secs(seconds.unwrap_or(5)));
    let run = |task: u64| {
        let (store, bucket) = (Arc::clone(store), bucket());
        tokio::spawn(async move {
            let (mut took, mut number) = (Vec::new(), task << 32);
            while begin.elapsed() < span {
                let begun = Instant::now();
                once(&*store, &bucket, case, number).await;
                took.push(begun.elapsed());
                number += 1;
            }
            took
        })
    };
    let mut took = Vec::new();
    for task in (0..tasks).map(run).collect::<Vec<_>>() {
        took.extend(task.await.unwrap());
    }
    let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{case:?}, {tasks} at once: {rate:.0}/s, half within {p50:?}, 99 % within {p99:?}");
}

async fn list(store: &Arc<dyn KeyValue>) {
    let (begin, mut after, mut pages) = (Instant::now(), None, 0);
    loop {
        let range = Range { prefix: "key-".to_owned(), after, limit: 1000 };
        let page = store.list(&bucket(), range).await.unwrap();
        pages += 1;
        if pages == 1 {
            println!("the first 1000 of {KEYS} keys: {:?}", begin.elapsed());
        }
        if !page.more {
            break;
        }
        after = page.keys.last().cloned();
    }
    println!("all, in {pages} pages: {:?}", begin.elapsed());
}

#[tokio::main]
async fn main() {
    let Ok(url) = std::env::var("KEY_VALUE_STORE") else {
        println!(
            "set KEY_VALUE_STORE to the address of a server, as in nats://127.0.0.1:4222 or redis://127.0.0.1:6379"
        );
        return;
    };
    let store = open(&url).await;
    let begin = Instant::now();
    store.write(&bucket(), (0..KEYS).map(|number| write(format!("key-{number:08}"))).collect()).await.unwrap();
    println!("{KEYS} values in one call: {:?}", begin.elapsed());
    list(&store).await;
    for case in [Case::Get, Case::Put, Case::Increment] {
        for tasks in [1, 64, 256] {
            measure(&store, case, tasks).await;
        }
    }
    list(&store).await;
    store.clear(&bucket().id).await.unwrap();
}
