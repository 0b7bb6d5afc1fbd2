//! A process that writes values until it is killed, or until its disk is full: for the tests beside it.
#![allow(clippy::unwrap_used, reason = "the test sees that this process stopped")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use samovar_cluster::embedded::{DataDir, EmbeddedKeyValue, KeyValueConfig};
use samovar_cluster::key_value::Write;
use samovar_cluster::{KeyValue, KeyValueError};
use samovar_model::{Bucket, BucketGrant, ByteSize, Durability};

fn bucket(durability: Durability) -> Bucket {
    let grant = BucketGrant { durability, max_bytes: ByteSize::mib(256), ..BucketGrant::default() };
    grant.bucket(&"crash".parse().unwrap(), &"test".parse().unwrap())
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (mode, dir) = (args.next().unwrap(), args.next().unwrap());
    // Checkpoints all the time: a kill should meet them too.
    let config = KeyValueConfig { checkpoint_bytes: 64 << 10, ..KeyValueConfig::default() };
    let store = Arc::new(EmbeddedKeyValue::open_with(&DataDir::open(dir).unwrap(), config).unwrap());
    match mode.as_str() {
        "count" => count(&store, args.next().unwrap().parse().unwrap()).await,
        "fill" => fill(&*store).await,
        other => panic!("no such mode: {other}"),
    }
}

/// Each writer counts, notes the count in a long value, counts on a counter that all share, and says so, over and over.
async fn count(store: &Arc<EmbeddedKeyValue>, writers: usize) {
    let write = |writer: usize| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let bucket = bucket(if writer.is_multiple_of(2) { Durability::Sync } else { Durability::Batched });
            loop {
                let count = store.increment(&bucket, &format!("counter-{writer}"), 1).await.unwrap();
                let value = format!("{count} ").repeat(1000);
                store
                    .write(&bucket, vec![Write { key: format!("long-{writer}"), value: Some(value.into()) }])
                    .await
                    .unwrap();
                store.increment(&bucket, "all", 1).await.unwrap();
                // One write, so that a line is whole or not there.
                std::io::stdout().write_all(format!("{writer} {count}\n").as_bytes()).unwrap();
            }
        })
    };
    futures_util::future::join_all((0..writers).map(write)).await;
}

/// Writes until it is refused; then lifts the limit of this process's files, and goes on.
async fn fill(store: &dyn KeyValue) {
    let bucket = bucket(Durability::Sync);
    let put = |number: usize| {
        let write = Write { key: format!("key-{number}"), value: Some(vec![7; 16 << 10].into()) };
        store.write(&bucket, vec![write])
    };
    let mut number = 0;
    let refused = loop {
        match put(number).await {
            Ok(()) => println!("{number} 0"),
            Err(refused) => break refused,
        }
        number += 1;
    };
    assert!(matches!(refused, KeyValueError::Unavailable(_) | KeyValueError::Unknown(_)), "{refused}");
    assert!(put(number).await.is_err(), "it is still full");
    let limit = Rlimit { current: None, ..getrlimit(Resource::Fsize) };
    setrlimit(Resource::Fsize, limit).unwrap();
    // The first write may be what finds out that there is room.
    while let Err(error) = put(number).await {
        eprintln!("{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{number} 0");
    for known in 0..=number {
        assert!(store.get(&bucket, &format!("key-{known}")).await.unwrap().is_some(), "key-{known}");
    }
    println!("{refused}");
}
