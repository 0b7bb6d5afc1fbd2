//! Swaps and counters, alone and by many at once.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Stores, bucket, delete, entry, put, value};
use crate::KeyValueError;
use crate::key_value::Swapped;

pub(crate) async fn a_swap_wants_the_version_that_was_read(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let swap = |version, value: &'static str| store.swap(&bucket, "k", version, value.into());
    assert_eq!(swap(7, "x").await.unwrap(), Swapped::Outdated, "nothing is there");
    assert_eq!(swap(0, "first").await.unwrap(), Swapped::Done);
    assert_eq!(swap(0, "again").await.unwrap(), Swapped::Outdated, "something is there");
    let version = entry(&*store, &bucket, "k").await.version;
    assert_eq!(swap(version, "second").await.unwrap(), Swapped::Done);
    assert_eq!(swap(version, "third").await.unwrap(), Swapped::Outdated);
    assert_eq!(value(&*store, &bucket, "k").await, Some("second".into()));
}

pub(crate) async fn a_version_is_not_used_again_after_a_delete(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        put(&*store, &bucket, "k", "x").await;
        assert!(seen.insert(entry(&*store, &bucket, "k").await.version), "{seen:?}");
        delete(&*store, &bucket, "k").await;
    }
    drop(store);
    let store = backend.open().await;
    put(&*store, &bucket, "k", "x").await;
    for version in seen {
        assert_eq!(store.swap(&bucket, "k", version, "stale".into()).await.unwrap(), Swapped::Outdated);
    }
    assert_eq!(value(&*store, &bucket, "k").await, Some("x".into()));
}

pub(crate) async fn of_many_swaps_one_is_done(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    for round in 0..5 {
        let version = store.get(&bucket, "k").await.unwrap().map_or(0, |entry| entry.version);
        let swap = |number: usize| {
            let (store, bucket) = (store.clone(), bucket.clone());
            let value = Bytes::from(format!("{round}-{number}"));
            tokio::spawn(async move { store.swap(&bucket, "k", version, value).await.unwrap() })
        };
        let tasks: Vec<_> = (0..16).map(swap).collect();
        let mut done = Vec::new();
        for (number, task) in tasks.into_iter().enumerate() {
            if task.await.unwrap() == Swapped::Done {
                done.push(Bytes::from(format!("{round}-{number}")));
            }
        }
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!(value(&*store, &bucket, "k").await.as_ref(), done.first());
    }
}

pub(crate) async fn swaps_in_a_loop_lose_nothing(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let add = |task: usize| {
        let (store, bucket) = (store.clone(), bucket.clone());
        tokio::spawn(async move {
            for number in 0..5 {
                loop {
                    let read = store.get(&bucket, "set").await.unwrap();
                    let (text, version) = read.map_or((Vec::new(), 0), |e| (e.value.to_vec(), e.version));
                    let text = [text, format!("{task}.{number} ").into_bytes()].concat();
                    if store.swap(&bucket, "set", version, text.into()).await.unwrap() == Swapped::Done {
                        break;
                    }
                }
            }
        })
    };
    let tasks: Vec<_> = (0..8).map(add).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let text = String::from_utf8(value(&*store, &bucket, "set").await.unwrap().to_vec()).unwrap();
    let words: BTreeSet<_> = text.split_whitespace().collect();
    assert_eq!((words.len(), text.split_whitespace().count()), (40, 40));
}

pub(crate) async fn a_counter_begins_at_nought_and_is_text(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    assert_eq!(store.increment(&bucket, "n", 5).await.unwrap(), 5);
    assert_eq!(store.increment(&bucket, "n", -7).await.unwrap(), -2);
    assert_eq!(value(&*store, &bucket, "n").await, Some("-2".into()));
    let before = entry(&*store, &bucket, "n").await.version;
    assert_eq!(store.increment(&bucket, "n", 0).await.unwrap(), -2);
    assert_ne!(entry(&*store, &bucket, "n").await.version, before, "adding nothing is a write too");
    put(&*store, &bucket, "n", "41").await;
    assert_eq!(store.increment(&bucket, "n", 1).await.unwrap(), 42);
    delete(&*store, &bucket, "n").await;
    assert_eq!(store.increment(&bucket, "n", i64::MAX).await.unwrap(), i64::MAX);
    delete(&*store, &bucket, "n").await;
    assert_eq!(store.increment(&bucket, "n", i64::MIN).await.unwrap(), i64::MIN);
}

pub(crate) async fn what_is_no_number_is_not_counted_on(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    for (text, by) in
        [("abc", 1), ("", 1), (" 1", 1), ("1.0", 1), ("9223372036854775807", 1), ("-9223372036854775808", -1)]
    {
        put(&*store, &bucket, "n", text).await;
        let refused = store.increment(&bucket, "n", by).await.unwrap_err();
        assert!(matches!(&refused, KeyValueError::NotANumber { key, .. } if key == "n"), "{text:?}: {refused}");
        assert_eq!(value(&*store, &bucket, "n").await, Some(text.into()), "it is left as it is");
    }
}

pub(crate) async fn counters_are_exact_under_many_tasks(backend: &impl Stores) {
    let (store, bucket) = (backend.open().await, bucket("a"));
    let count = |task: usize| {
        let (store, bucket) = (store.clone(), bucket.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..20 {
                answers.push(store.increment(&bucket, "all", 1).await.unwrap());
                store.increment(&bucket, &format!("task-{}", task % 4), 2).await.unwrap();
            }
            answers
        })
    };
    let tasks: Vec<_> = (0..32).map(count).collect();
    let mut answers = BTreeSet::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    assert_eq!(answers, (1..=640).collect(), "each answer is given once");
    for counter in 0..4 {
        assert_eq!(value(&*store, &bucket, &format!("task-{counter}")).await, Some("320".into()));
    }
}
