//! One round of writes to a bucket: decided on what is known, and stored if nobody else has written meanwhile; else again.
//!
//! Between rounds a process remembers the ledger and what it knows of keys: as long as its batches are stored on the ledger that
//! it remembers, nobody else has written, and nothing need be read. An answer that stores nothing (`Outdated`, `Full`, …) is only
//! given on what was read in this round.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use samovar_model::{Bucket, BucketId};
use tokio::time::{Instant, sleep};

use super::clear;
use super::commit::{Committed, Step, commit};
use super::ledger::{Ledger, Seen};
use super::round::{Answer, Answered, Change, Known, Outcome, Round};
use super::scan::scan;
use super::store::{PATIENCE, PAUSE, Store};
use super::value::{self, now};
use crate::KeyValueError;
use crate::key_value::Swapped;
use crate::nats::stream::Part;

/// How many keys one batch may have: a server takes 1000 messages, and a key can make two.
pub(super) const ROUND_KEYS: usize = 450;
/// How many reads are under way at once for one round.
const READS: usize = 64;

/// One caller's change, with the bucket's rules as that caller has them.
pub(super) struct Order {
    pub(super) bucket: Bucket,
    pub(super) change: Change,
}

/// What is remembered of a bucket between rounds; right for as long as nobody else writes.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) seen: Option<Seen>,
    pub(super) known: BTreeMap<String, Known>,
}

/// What a round came to.
struct Plan {
    answers: Vec<Answered>,
    ledger: Ledger,
    outcomes: BTreeMap<String, Outcome>,
}

/// Decides and stores, anew for as long as others come first.
pub(super) async fn round(store: &Store, bucket: &BucketId, memory: &mut Memory, orders: &[Order]) -> Vec<Answered> {
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let failed = match attempt(store, bucket, memory, orders, end).await {
            Ok(Some(answers)) => return answers,
            Ok(None) => KeyValueError::Unavailable(format!("bucket `{bucket}`: others write to it all the time")),
            Err(error) => {
                *memory = Memory::default();
                return orders.iter().map(|_| Err(error.clone())).collect();
            }
        };
        *memory = Memory::default();
        if Instant::now() >= end {
            return orders.iter().map(|_| Err(failed.clone())).collect();
        }
        sleep(pause.mul_f64(0.5 + jitter())).await;
        pause = PAUSE.min(pause * 2);
    }
}

/// Between 0 and 1.
fn jitter() -> f64 {
    f64::from(value::now_nanos() % 1024) / 1024.0
}

/// Decides on what is known and stores it; nothing where somebody else was first.
async fn attempt(
    store: &Store,
    bucket: &BucketId,
    memory: &mut Memory,
    orders: &[Order],
    end: Instant,
) -> Result<Option<Vec<Answered>>, KeyValueError> {
    store.ready().await?;
    let remembered = memory.seen.is_some();
    let Some(mut plan) = decide(store, bucket, memory, orders).await? else { return Ok(None) };
    if remembered && (plan.outcomes.is_empty() || plan.answers.iter().any(is_refusal)) {
        *memory = Memory::default();
        let Some(anew) = decide(store, bucket, memory, orders).await? else { return Ok(None) };
        plan = anew;
    }
    if plan.answers.iter().any(|answer| matches!(answer, Err(KeyValueError::Full { .. })))
        && let Some(seen) = memory.seen.clone()
        && let Some(sweep) = due(store, bucket, &seen).await?
    {
        // What is past its time makes room, and then all is decided anew.
        let mut swept = Memory { seen: Some(seen), known: BTreeMap::new() };
        let only = [Order { bucket: orders[0].bucket.clone(), change: sweep }];
        if let Some(sweep) = decide(store, bucket, &mut swept, &only).await? {
            publish(store, bucket, &mut swept, sweep, end).await?;
        }
        return Ok(None);
    }
    if plan.outcomes.is_empty() && !orders.iter().any(|order| matches!(order.change, Change::Sweep { .. })) {
        return Ok(Some(plan.answers));
    }
    publish(store, bucket, memory, plan, end).await
}

/// An answer for which nothing is stored, and which must not be given on what may be outdated.
fn is_refusal(answer: &Answered) -> bool {
    matches!(answer, Err(_) | Ok(Answer::Swapped(Swapped::Outdated)))
}

/// What is past its time, if the ledger says that anything may be.
pub(super) async fn due(store: &Store, bucket: &BucketId, seen: &Seen) -> Result<Option<Change>, KeyValueError> {
    let now = now();
    if seen.ledger.earliest.is_none_or(|earliest| earliest > now) {
        return Ok(None);
    }
    let found = scan(store, bucket, "").await?;
    let is_past = |expires: &Option<u64>| expires.is_some_and(|expires| expires <= now);
    let mut keys: Vec<_> =
        found.keys.iter().filter(|(_, expires)| is_past(expires)).map(|(key, _)| key.clone()).collect();
    let mut earliest = found.keys.into_iter().filter_map(|(_, expires)| expires.filter(|at| *at > now)).min();
    if keys.len() > ROUND_KEYS {
        keys.truncate(ROUND_KEYS);
        earliest = Some(now);
    }
    Ok(Some(Change::Sweep { keys, earliest, as_of: found.ledger }))
}

/// Applies the changes to what is known, after looking up what is not. Nothing where the bucket is being cleared.
async fn decide(
    store: &Store,
    bucket: &BucketId,
    memory: &mut Memory,
    orders: &[Order],
) -> Result<Option<Plan>, KeyValueError> {
    let mut seen = match memory.seen.clone() {
        Some(seen) => seen,
        None => store.ledger(bucket).await?,
    };
    if clear::is_under_way(&seen.ledger) {
        return Ok(None);
    }
    if seen.ledger.clearing.is_some() {
        // Whoever began it is gone.
        let Some(cleared) = clear::finish(store, bucket, &seen).await? else { return Ok(None) };
        seen = cleared;
    }
    let part = store.longest_part();
    let (ledger, sequence) = (seen.ledger.clone(), seen.sequence);
    memory.seen = Some(seen);
    let outcomes = BTreeMap::new();
    let mut round = Round { ledger, sequence, known: &mut memory.known, outcomes, now: now(), longest: 2 * part };
    let unknown = round.unknown(orders.iter().map(|order| &order.change));
    let read = async |key: String| {
        let found = store.value(bucket, &key).await?;
        Ok::<_, KeyValueError>((Known::of(&key, found.as_ref()), key))
    };
    let found: Vec<_> = stream::iter(unknown).map(read).buffer_unordered(READS).try_collect().await?;
    round.known.extend(found.into_iter().map(|(known, key)| (key, known)));
    let answers = orders.iter().map(|order| round.apply(&order.bucket, &order.change)).collect();
    let Round { ledger, outcomes, .. } = round;
    Ok(Some(Plan { answers, ledger, outcomes }))
}

/// The messages of a plan without the ledger's, and for each value whether it has a rest, and where it is among them.
fn parts(
    store: &Store,
    bucket: &BucketId,
    outcomes: &BTreeMap<String, Outcome>,
) -> (Vec<Part>, Vec<(String, usize, bool)>) {
    let (longest, subjects) = (store.longest_part(), &store.subjects);
    let (mut parts, mut places) = (Vec::new(), Vec::new());
    for (key, Outcome { value, expires, had_rest }) in outcomes {
        let rest = value.as_ref().filter(|value| value.len() > longest).map(|value| value.slice(longest..));
        let subject = subjects.rest(bucket, key);
        match &rest {
            Some(rest) => parts.push(Part { subject, headers: value::headers(*expires, 0), payload: rest.clone() }),
            None if *had_rest => parts.push(Part { subject, headers: value::deleted(), payload: Bytes::new() }),
            None => {}
        }
        let (headers, payload) = match value {
            Some(value) => {
                let rest = rest.as_ref().map_or(0, Bytes::len);
                (value::headers(*expires, rest), value.slice(..value.len() - rest))
            }
            None => (value::deleted(), Bytes::new()),
        };
        places.push((key.clone(), parts.len(), rest.is_some()));
        parts.push(Part { subject: subjects.value(bucket, key), headers, payload });
    }
    (parts, places)
}

/// Stores a plan, or learns that somebody else was first.
async fn publish(
    store: &Store,
    bucket: &BucketId,
    memory: &mut Memory,
    plan: Plan,
    end: Instant,
) -> Result<Option<Vec<Answered>>, KeyValueError> {
    let (parts, places) = parts(store, bucket, &plan.outcomes);
    let count = parts.len() as u64;
    let base = memory.seen.clone().unwrap_or_default();
    let seen = match commit(store, bucket, Step { parts, next: plan.ledger, base: &base }, end).await? {
        Committed::Stored(Some(seen)) => seen,
        Committed::Stored(None) => {
            *memory = Memory::default();
            return Ok(Some(plan.answers));
        }
        Committed::Overtaken => return Ok(None),
    };
    // The batch's messages are next to each other, the ledger last.
    let first = seen.sequence - count;
    for (key, place, has_rest) in places {
        if let Some(known) = memory.known.get_mut(&key) {
            known.stored(first + place as u64, has_rest);
        }
    }
    memory.seen = Some(seen);
    Ok(Some(plan.answers))
}
