//! What every backend of [`KeyValue`] must do.
//!
//! A backend implements [`Stores`] for a value that owns its storage, and lists the tests with [`key_value_tests!`].

mod atomics;
mod bounds;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use samovar_model::{Bucket, BucketGrant, Durability, MAX_KEY_BYTES, MAX_VALUE_BYTES, Span};

use crate::key_value::{Entry, Page, Range, Swapped, Write};
use crate::{KeyValue, KeyValueError};

pub(crate) use atomics::*;
pub(crate) use bounds::*;

/// Storage that can be opened again and again, as by one process after the other.
pub(crate) trait Stores: Sized {
    /// A time to live that a test can wait for, and that is longer than a few writes take.
    const SHORT: Span;

    async fn new() -> Self;
    async fn open(&self) -> Arc<dyn KeyValue>;
}

macro_rules! key_value_tests {
    ($backend:ty) => {
        key_value_tests!($backend: a_value_is_there_until_it_is_deleted, a_key_can_be_any_text, buckets_are_apart,
            the_largest_value_and_the_longest_key_are_kept, several_values_are_read_in_the_order_asked_for,
            writes_are_done_in_their_order, a_swap_wants_the_version_that_was_read,
            a_version_is_not_used_again_after_a_delete, of_many_swaps_one_is_done,
            swaps_in_a_loop_lose_nothing, a_counter_begins_at_nought_and_is_text,
            what_is_no_number_is_not_counted_on, counters_are_exact_under_many_tasks, keys_come_in_order_and_in_pages,
            a_listing_has_all_that_is_not_touched_meanwhile, a_value_goes_when_its_time_is_over,
            writing_again_begins_the_time_again, a_time_to_live_holds_for_what_is_written_with_it,
            a_full_bucket_refuses_until_something_is_deleted, what_has_expired_makes_room, a_bucket_that_holds_something_is_listed,
            clearing_spares_other_buckets, a_cleared_bucket_takes_writes_and_no_old_swap,
            everything_survives_reopening, both_durabilities_read_what_they_wrote);
    };
    ($backend:ty: $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::key_value::$test(
                &<$backend as $crate::contract::key_value::Stores>::new().await
            ).await;
        })*
    };
}
pub(crate) use key_value_tests;

/// A function's own bucket with the default rules.
pub(crate) fn bucket(name: &str) -> Bucket {
    BucketGrant::default().bucket(&super::name("shop"), &name.parse().unwrap())
}

fn keeping(name: &str, ttl: Span) -> Bucket {
    Bucket { ttl: Some(ttl), ..bucket(name) }
}

pub(crate) async fn put(store: &dyn KeyValue, bucket: &Bucket, key: &str, value: impl Into<Bytes>) {
    try_put(store, bucket, key, value).await.unwrap();
}

async fn try_put(
    store: &dyn KeyValue,
    bucket: &Bucket,
    key: &str,
    value: impl Into<Bytes>,
) -> Result<(), KeyValueError> {
    store.write(bucket, vec![Write { key: key.to_owned(), value: Some(value.into()) }]).await
}

async fn delete(store: &dyn KeyValue, bucket: &Bucket, key: &str) {
    store.write(bucket, vec![Write { key: key.to_owned(), value: None }]).await.unwrap();
}

pub(crate) async fn value(store: &dyn KeyValue, bucket: &Bucket, key: &str) -> Option<Bytes> {
    store.get(bucket, key).await.unwrap().map(|entry| entry.value)
}

async fn entry(store: &dyn KeyValue, bucket: &Bucket, key: &str) -> Entry {
    store.get(bucket, key).await.unwrap().unwrap()
}

async fn list(store: &dyn KeyValue, bucket: &Bucket, prefix: &str, after: Option<&str>, limit: usize) -> Page {
    let range = Range { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit };
    store.list(bucket, range).await.unwrap()
}

/// All keys, a page of `limit` at a time.
async fn all_keys(store: &dyn KeyValue, bucket: &Bucket, prefix: &str, limit: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = list(store, bucket, prefix, keys.last().map(String::as_str), limit).await;
        assert!(page.keys.len() <= limit, "{} keys in a page of {limit}", page.keys.len());
        keys.extend(page.keys);
        if !page.more {
            return keys;
        }
    }
}

pub(crate) async fn a_value_is_there_until_it_is_deleted(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    assert_eq!(store.get(&bucket, "k").await.unwrap(), None);
    put(&*store, &bucket, "k", "one").await;
    let first = entry(&*store, &bucket, "k").await;
    assert_eq!((first.value.as_ref(), first.expires), (b"one".as_slice(), None));
    assert_ne!(first.version, 0);
    put(&*store, &bucket, "k", "one").await;
    assert_ne!(entry(&*store, &bucket, "k").await.version, first.version, "the same value is another version");
    put(&*store, &bucket, "k", "").await;
    assert_eq!(value(&*store, &bucket, "k").await, Some(Bytes::new()), "an empty value is a value");
    delete(&*store, &bucket, "k").await;
    assert_eq!(value(&*store, &bucket, "k").await, None);
    delete(&*store, &bucket, "k").await;
}

pub(crate) async fn a_key_can_be_any_text(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let keys = [" ", "*", ".", "..", "/", "> $ %00 \u{0}", "A", "a", "a.b", "a/b", "a=", "ключ", "鍵", "\u{10ffff}"];
    for key in keys {
        put(&*store, &bucket, key, key.to_owned()).await;
    }
    for key in keys {
        assert_eq!(value(&*store, &bucket, key).await, Some(Bytes::from(key)), "{key:?}");
    }
    let ordered: BTreeSet<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(all_keys(&*store, &bucket, "", 3).await, ordered.into_iter().collect::<Vec<_>>());
    for key in keys {
        delete(&*store, &bucket, key).await;
    }
    assert_eq!(list(&*store, &bucket, "", None, 100).await, Page::default());
}

pub(crate) async fn buckets_are_apart(backend: &impl Stores) {
    let store = backend.open().await;
    let grant = BucketGrant { shared: Some("a".parse().unwrap()), ..BucketGrant::default() };
    let shared = grant.bucket(&super::name("shop"), &"x".parse().unwrap());
    let other = BucketGrant::default().bucket(&super::name("cart"), &"a".parse().unwrap());
    let all = [bucket("a"), bucket("b"), bucket("A"), bucket("aa"), shared, other];
    for bucket in &all {
        put(&*store, bucket, "k", bucket.id.to_string()).await;
    }
    for bucket in &all {
        assert_eq!(value(&*store, bucket, "k").await, Some(Bytes::from(bucket.id.to_string())));
        assert_eq!(list(&*store, bucket, "", None, 100).await.keys, ["k"]);
    }
}

pub(crate) async fn the_largest_value_and_the_longest_key_are_kept(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let (key, other) = ("k".repeat(MAX_KEY_BYTES), "ä".repeat(MAX_KEY_BYTES / 2));
    // Bytes that do not compress and are no text.
    let large: Bytes = (0..MAX_VALUE_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for key in [&key, &other] {
        put(&*store, &bucket, key, large.clone()).await;
        assert!(value(&*store, &bucket, key).await.unwrap() == large);
    }
    let version = entry(&*store, &bucket, &key).await.version;
    assert_eq!(store.swap(&bucket, &key, version, large.slice(1..)).await.unwrap(), Swapped::Done);
    assert!(value(&*store, &bucket, &key).await.unwrap() == large[1..]);
    put(&*store, &bucket, &key, "small again").await;
    assert_eq!(value(&*store, &bucket, &key).await, Some("small again".into()));
}

pub(crate) async fn several_values_are_read_in_the_order_asked_for(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    for number in 0..100 {
        put(&*store, &bucket, &format!("k{number}"), format!("v{number}")).await;
    }
    let keys: Vec<_> = (0..100).rev().map(|number| format!("k{}", number * 2)).collect();
    let read = store.get_many(&bucket, &keys).await.unwrap();
    let read: Vec<_> = read.into_iter().map(|entry| entry.map(|entry| entry.value)).collect();
    let expected = |key: &String| {
        let number: usize = key[1..].parse().unwrap();
        (number < 100).then(|| Bytes::from(format!("v{number}")))
    };
    assert_eq!(read, keys.iter().map(expected).collect::<Vec<_>>());
    assert!(store.get_many(&bucket, &[]).await.unwrap().is_empty());
}

pub(crate) async fn writes_are_done_in_their_order(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    put(&*store, &bucket, "old", "x").await;
    let write = |key: &str, value: Option<&str>| Write {
        key: key.to_owned(),
        value: value.map(|value| Bytes::from(value.to_owned())),
    };
    let writes = vec![
        write("a", Some("1")),
        write("b", Some("1")),
        write("a", Some("2")),
        write("b", None),
        write("old", None),
        write("old", Some("new")),
        write("never", None),
    ];
    store.write(&bucket, writes).await.unwrap();
    let read = [value(&*store, &bucket, "a").await, value(&*store, &bucket, "b").await];
    assert_eq!(read, [Some("2".into()), None]);
    assert_eq!(value(&*store, &bucket, "old").await, Some("new".into()));
    store.write(&bucket, Vec::new()).await.unwrap();
}

pub(crate) async fn keys_come_in_order_and_in_pages(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let mut keys: Vec<_> = (0..25).map(|number| format!("user/{number}")).collect();
    let others = ["user", "user0", "aaa", "zzz"].map(str::to_owned);
    let writes = keys.iter().chain(&others).map(|key| Write { key: key.clone(), value: Some("x".into()) });
    store.write(&bucket, writes.collect()).await.unwrap();
    keys.sort();
    for limit in [1, 7, 25, 26, 1000] {
        assert_eq!(all_keys(&*store, &bucket, "user/", limit).await, keys, "{limit} at a time");
    }
    assert_eq!(list(&*store, &bucket, "user/", None, 25).await, Page { keys: keys.clone(), more: false });
    let page = list(&*store, &bucket, "user/", Some("user/11"), 2).await;
    assert_eq!(page, Page { keys: vec!["user/12".to_owned(), "user/13".to_owned()], more: true });
    assert_eq!(list(&*store, &bucket, "user/", Some("user/110"), 1).await.keys, ["user/12"], "it need not be there");
    assert_eq!(list(&*store, &bucket, "user/", Some("a"), 1).await.keys, ["user/0"], "nor lie within the prefix");
    assert_eq!(list(&*store, &bucket, "user/", Some("z"), 1).await, Page::default());
    assert_eq!(list(&*store, &bucket, "users", None, 10).await, Page::default());
    assert_eq!(all_keys(&*store, &bucket, "", 9).await.len(), 29);
}

pub(crate) async fn a_listing_has_all_that_is_not_touched_meanwhile(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let steady: Vec<_> = (0..60).map(|number| format!("k{:03}", number * 2)).collect();
    let writes = steady.iter().map(|key| Write { key: key.clone(), value: Some("x".into()) }).collect();
    store.write(&bucket, writes).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let churn = tokio::spawn({
        let (store, bucket) = (store.clone(), bucket.clone());
        async move {
            let mut stopped = stopped;
            let mut number = 0;
            while stopped.try_recv().is_err() {
                number = (number + 1) % 60;
                let key = format!("k{:03}", number * 2 + 1);
                put(&*store, &bucket, &key, "y").await;
                delete(&*store, &bucket, &key).await;
            }
        }
    });
    for _ in 0..10 {
        let keys = all_keys(&*store, &bucket, "k", 7).await;
        assert!(keys.is_sorted_by(|a, b| a < b), "each once and in order: {keys:?}");
        let seen: Vec<_> = keys.into_iter().filter(|key| steady.contains(key)).collect();
        assert_eq!(seen, steady);
    }
    stop.send(()).unwrap();
    churn.await.unwrap();
}

pub(crate) async fn a_bucket_that_holds_something_is_listed(backend: &impl Stores) {
    let store = backend.open().await;
    assert_eq!(store.buckets().await.unwrap(), []);
    put(&*store, &bucket("b"), "key", "value").await;
    put(&*store, &bucket("a"), "key", vec![7; 5000]).await;
    put(&*store, &bucket("a"), "kez", vec![7; 5000]).await;
    let usage = store.buckets().await.unwrap();
    let shown: Vec<_> = usage.iter().map(|usage| (usage.id.to_string(), usage.keys)).collect();
    assert_eq!(shown, [("shop/a".to_owned(), 2), ("shop/b".to_owned(), 1)]);
    assert!((10_006..12_000).contains(&usage[0].bytes), "{usage:?}");
    delete(&*store, &bucket("b"), "key").await;
    assert_eq!(store.buckets().await.unwrap().len(), 1, "an empty bucket is not there");
}

pub(crate) async fn clearing_spares_other_buckets(backend: &impl Stores) {
    let store = backend.open().await;
    for name in ["a", "b"] {
        let writes = (0..50).map(|number| Write { key: format!("k{number}"), value: Some(vec![7; 2000].into()) });
        store.write(&bucket(name), writes.collect()).await.unwrap();
    }
    store.clear(&bucket("a").id).await.unwrap();
    assert_eq!(list(&*store, &bucket("a"), "", None, 10).await, Page::default());
    assert_eq!(value(&*store, &bucket("a"), "k1").await, None);
    assert_eq!(list(&*store, &bucket("b"), "", None, 100).await.keys.len(), 50);
    assert_eq!(store.buckets().await.unwrap().len(), 1);
    store.clear(&bucket("a").id).await.unwrap();
}

pub(crate) async fn a_cleared_bucket_takes_writes_and_no_old_swap(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    put(&*store, &bucket, "k", "x").await;
    let stale = entry(&*store, &bucket, "k").await.version;
    store.clear(&bucket.id).await.unwrap();
    put(&*store, &bucket, "k", "y").await;
    assert_eq!(store.swap(&bucket, "k", stale, "stale".into()).await.unwrap(), Swapped::Outdated);
    assert_eq!(value(&*store, &bucket, "k").await, Some("y".into()));
    assert_eq!(store.buckets().await.unwrap()[0].keys, 1);
}

pub(crate) async fn everything_survives_reopening(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    put(&*store, &bucket, "small", "x").await;
    put(&*store, &bucket, "large", vec![7; 100_000]).await;
    put(&*store, &keeping("a", Span::secs(3600)), "later", "x").await;
    put(&*store, &bucket, "gone", "x").await;
    delete(&*store, &bucket, "gone").await;
    store.increment(&bucket, "n", 3).await.unwrap();
    let keys = ["small", "large", "later", "gone", "n"].map(str::to_owned);
    let before = (store.get_many(&bucket, &keys).await.unwrap(), store.buckets().await.unwrap());
    drop(store);
    let store = backend.open().await;
    let after = (store.get_many(&bucket, &keys).await.unwrap(), store.buckets().await.unwrap());
    assert_eq!(after, before);
    assert_eq!(store.increment(&bucket, "n", 1).await.unwrap(), 4);
}

pub(crate) async fn both_durabilities_read_what_they_wrote(backend: &impl Stores) {
    let store = backend.open().await;
    let write = |task: usize| {
        let durability = if task.is_multiple_of(2) { Durability::Sync } else { Durability::Batched };
        let (store, bucket) = (store.clone(), Bucket { durability, ..bucket("a") });
        tokio::spawn(async move {
            for number in 0..20 {
                let (key, text) = (format!("k{task}"), format!("{number}"));
                put(&*store, &bucket, &key, text.clone()).await;
                assert_eq!(value(&*store, &bucket, &key).await, Some(text.into()));
            }
        })
    };
    let tasks: Vec<_> = (0..16).map(write).collect();
    for task in tasks {
        task.await.unwrap();
    }
}
