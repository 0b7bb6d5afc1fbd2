//! What the embedded key-value store does in a second: durable writes by many writers at once, and reads, alone and beside
//! writers. `cargo bench -p samovar-cluster`; `KEY_VALUE_DIR` chooses the disk, `KEY_VALUE_SECONDS` how long each case takes.
#![allow(clippy::unwrap_used, reason = "a measurement that meets an error should stop there")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use samovar_cluster::KeyValue;
use samovar_cluster::embedded::{DataDir, EmbeddedKeyValue};
use samovar_cluster::key_value::Write;
use samovar_model::{Bucket, BucketGrant, ByteSize, Durability};

/// Keys that writers and readers choose from at random, and the size of their values in bytes.
const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 100;

fn bucket(durability: Durability) -> Bucket {
    let grant = BucketGrant { durability, max_bytes: ByteSize::mib(1024), ..BucketGrant::default() };
    grant.bucket(&"bench".parse().unwrap(), &"values".parse().unwrap())
}

fn key(random: &mut u64) -> String {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    format!("key-{:08}", *random % KEYS)
}

async fn put(store: &dyn KeyValue, bucket: &Bucket, key: String) {
    store.write(bucket, vec![Write { key, value: Some(vec![7; VALUE_BYTES].into()) }]).await.unwrap();
}

/// Lets `tasks` tasks do something over and over, and answers how often a second it was done, and the time that 99 of 100 took.
async fn measure<F>(tasks: u64, work: impl Fn(u64) -> F) -> (f64, Duration)
where
    F: Future<Output = Vec<Duration>> + Send + 'static,
{
    let begin = Instant::now();
    let running: Vec<_> = (1..=tasks).map(|task| tokio::spawn(work(task))).collect();
    let mut took = Vec::new();
    for task in running {
        took.extend(task.await.unwrap());
    }
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    (took.len() as f64 / begin.elapsed().as_secs_f64(), p99)
}

fn seconds() -> Duration {
    let seconds = std::env::var("KEY_VALUE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

async fn writes(store: &Arc<EmbeddedKeyValue>, durability: Durability, writers: u64) {
    let (rate, p99) = measure(writers, |task| {
        let (store, bucket, until) = (Arc::clone(store), bucket(durability), Instant::now() + seconds());
        async move {
            let (mut random, mut took) = (task * 0x9e37_79b9_7f4a_7c15, Vec::new());
            while Instant::now() < until {
                let begin = Instant::now();
                put(&*store, &bucket, key(&mut random)).await;
                took.push(begin.elapsed());
            }
            took
        }
    })
    .await;
    println!("{durability:?} writes, {writers} writers: {rate:.0}/s, 99 % within {p99:?}");
}

async fn counts(store: &Arc<EmbeddedKeyValue>, writers: u64) {
    let (rate, p99) = measure(writers, |task| {
        let (store, bucket, until) = (Arc::clone(store), bucket(Durability::Batched), Instant::now() + seconds());
        async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let begin = Instant::now();
                store.increment(&bucket, &format!("counter-{}", task % 8), 1).await.unwrap();
                took.push(begin.elapsed());
            }
            took
        }
    })
    .await;
    println!("Batched increments of 8 counters, {writers} writers: {rate:.0}/s, 99 % within {p99:?}");
}

async fn reads(store: &Arc<EmbeddedKeyValue>, readers: u64, beside: &str) {
    let done = Arc::new(AtomicU64::new(0));
    let (begin, until) = (Instant::now(), Instant::now() + seconds());
    let read = |task: u64| {
        let (store, done, bucket) = (Arc::clone(store), Arc::clone(&done), bucket(Durability::Batched));
        tokio::spawn(async move {
            let mut random = task * 0x9e37_79b9_7f4a_7c15;
            while Instant::now() < until {
                for _ in 0..100 {
                    assert_eq!(store.get(&bucket, &key(&mut random)).await.unwrap().unwrap().value.len(), VALUE_BYTES);
                }
                done.fetch_add(100, Relaxed);
                tokio::task::yield_now().await;
            }
        })
    };
    for task in (1..=readers).map(read).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    println!("reads, {readers} tasks{beside}: {:.0}/s", done.load(Relaxed) as f64 / begin.elapsed().as_secs_f64());
}

async fn reads_beside_writers(store: &Arc<EmbeddedKeyValue>) {
    let stop = Arc::new(AtomicBool::new(false));
    let writer = |task: u64| {
        let (store, stop, bucket) = (Arc::clone(store), Arc::clone(&stop), bucket(Durability::Batched));
        tokio::spawn(async move {
            let mut random = task * 0x9e37_79b9_7f4a_7c15;
            while !stop.load(Relaxed) {
                put(&*store, &bucket, key(&mut random)).await;
            }
        })
    };
    let writers: Vec<_> = (1..=16).map(writer).collect();
    reads(store, 2, " beside 16 writers").await;
    stop.store(true, Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

fn main() {
    let dir = std::env::var_os("KEY_VALUE_DIR").map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let open = || Arc::new(EmbeddedKeyValue::open(&DataDir::open(dir.path()).unwrap()).unwrap());
    let store = open();
    runtime.block_on(async {
        let all: Vec<_> = (0..KEYS).map(|number| format!("key-{number:08}")).collect();
        for keys in all.chunks(1000) {
            let write = |key: &String| Write { key: key.clone(), value: Some(vec![7; VALUE_BYTES].into()) };
            store.write(&bucket(Durability::Sync), keys.iter().map(write).collect()).await.unwrap();
        }
        for writers in [1, 16, 64, 256] {
            writes(&store, Durability::Batched, writers).await;
        }
        for writers in [1, 64] {
            writes(&store, Durability::Sync, writers).await;
        }
        counts(&store, 64).await;
        reads(&store, 1, "").await;
        reads(&store, 2, "").await;
        reads_beside_writers(&store).await;
    });
    drop(store);
    let begin = Instant::now();
    drop(open());
    println!("opened and closed in {:?}", begin.elapsed());
}
