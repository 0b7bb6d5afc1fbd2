//! How long a value is kept, and how much a bucket holds.

use std::time::{Duration, SystemTime};

use samovar_model::{Bucket, ByteSize, Span};
use tokio::time::timeout;

use super::{Stores, bucket, delete, entry, keeping, list, put, try_put, value};
use crate::key_value::Swapped;
use crate::{KeyValue, KeyValueError};

/// Waits until a key is gone by itself.
async fn gone(store: &dyn KeyValue, bucket: &Bucket, key: &str) {
    let gone = async {
        while value(store, bucket, key).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("the value goes when its time is over");
}

pub(crate) async fn a_value_goes_when_its_time_is_over<B: Stores>(backend: &B) {
    let (store, short) = (backend.open().await, keeping("a", B::SHORT));
    let before = SystemTime::now();
    put(&*store, &short, "k", "x").await;
    put(&*store, &keeping("a", Span::secs(3600)), "long", "x").await;
    let expires = entry(&*store, &short, "long").await.expires.expect("it has a time");
    let left = expires.duration_since(before).unwrap();
    assert!((3500..3700).contains(&left.as_secs()), "{left:?}");
    gone(&*store, &short, "k").await;
    assert!(before.elapsed().unwrap() >= B::SHORT.as_duration() / 2, "not before its time");
    assert_eq!(list(&*store, &short, "", None, 10).await.keys, ["long"], "what has expired is not listed");
    assert_eq!(store.get_many(&short, &["k".to_owned()]).await.unwrap(), [None]);
    assert_eq!(store.swap(&short, "k", 0, "y".into()).await.unwrap(), Swapped::Done, "nothing is there");
    assert_eq!(store.increment(&short, "n", 5).await.unwrap(), 5);
    gone(&*store, &short, "n").await;
    assert_eq!(store.increment(&short, "n", 3).await.unwrap(), 3, "an expired counter begins again");
}

pub(crate) async fn writing_again_begins_the_time_again<B: Stores>(backend: &B) {
    let (store, short) = (backend.open().await, keeping("a", B::SHORT));
    put(&*store, &short, "k", "x").await;
    let first = entry(&*store, &short, "k").await.expires.expect("it has a time");
    tokio::time::sleep(B::SHORT.as_duration() / 10).await;
    put(&*store, &short, "k", "y").await;
    let second = entry(&*store, &short, "k").await.expires.expect("it has a time");
    assert!(second > first, "{second:?} after {first:?}");
}

pub(crate) async fn a_time_to_live_holds_for_what_is_written_with_it<B: Stores>(backend: &B) {
    let (store, short, long) = (backend.open().await, keeping("a", B::SHORT), bucket("a"));
    put(&*store, &long, "before", "x").await;
    put(&*store, &short, "short", "x").await;
    put(&*store, &short, "kept", "x").await;
    put(&*store, &long, "kept", "y").await;
    gone(&*store, &short, "short").await;
    assert_eq!(value(&*store, &short, "before").await, Some("x".into()));
    assert_eq!(value(&*store, &short, "kept").await, Some("y".into()), "the last write counts");
}

/// Puts values of 1 KiB until one is refused, and answers how many were taken.
async fn fill(store: &dyn KeyValue, bucket: &Bucket) -> usize {
    for number in 0..1000 {
        match try_put(store, bucket, &format!("k{number:03}"), vec![7; 1024]).await {
            Ok(()) => {}
            Err(KeyValueError::Full { bucket: id, limit, .. }) => {
                assert_eq!((id, limit), (bucket.id.clone(), bucket.max_bytes.as_bytes()));
                return number;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("1000 KiB went into {}", bucket.max_bytes);
}

pub(crate) async fn a_full_bucket_refuses_until_something_is_deleted(backend: &impl Stores) {
    let store = backend.open().await;
    let small = Bucket { max_bytes: ByteSize::bytes(16 << 10), ..bucket("a") };
    let taken = fill(&*store, &small).await;
    assert!((8..=16).contains(&taken), "{taken} KiB went into 16 KiB");
    assert_eq!(list(&*store, &small, "", None, 100).await.keys.len(), taken, "what was refused is not there");
    put(&*store, &bucket("b"), "k", vec![7; 1024]).await;
    assert_eq!(value(&*store, &small, "k000").await.unwrap().len(), 1024, "a full bucket is read");
    put(&*store, &small, "k000", "smaller").await;
    put(&*store, &small, "k000", vec![8; 1000]).await;
    let version = entry(&*store, &small, "k001").await.version;
    let refused = store.swap(&small, "k001", version, vec![8; 4096].into()).await;
    assert!(matches!(refused, Err(KeyValueError::Full { .. })), "{refused:?}");
    delete(&*store, &small, "k002").await;
    delete(&*store, &small, "k003").await;
    put(&*store, &small, "again", vec![9; 1024]).await;
    put(&*store, &Bucket { max_bytes: ByteSize::mib(1), ..small }, "more", vec![9; 8 << 10]).await;
}

pub(crate) async fn what_has_expired_makes_room<B: Stores>(backend: &B) {
    let store = backend.open().await;
    let short = Bucket { max_bytes: ByteSize::bytes(8 << 10), ..keeping("a", B::SHORT) };
    fill(&*store, &short).await;
    gone(&*store, &short, "k000").await;
    let room = async {
        while let Err(KeyValueError::Full { .. }) = try_put(&*store, &short, "large", vec![7; 6 << 10]).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), room).await.expect("there is room");
}
