//! What a round of writes to one bucket comes to: decided on the bucket's ledger and what is at the keys, without any I/O.
//!
//! A round is what was waiting when the writer came to it. Its changes are applied one after the other to what is known; each
//! sees those before it, and of each key only the last value is stored.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use samovar_model::{Bucket, BucketId};

use super::ledger::Ledger;
use super::value::Value;
use crate::KeyValueError;
use crate::key_value::{Swapped, Write};

/// The longest text of a counter.
const COUNTER_BYTES: usize = 20;

/// What is to be done to a bucket.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(Vec<Write>),
    Swap {
        key: String,
        version: u64,
        value: Bytes,
    },
    Increment {
        key: String,
        by: i64,
    },
    /// Removes those of these keys that are past their time.
    Sweep {
        keys: Vec<String>,
        /// Before this, none of the others is; as of the ledger at this place in the stream.
        earliest: Option<u64>,
        as_of: u64,
    },
}

impl Change {
    /// The keys that it looks at.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        let (writes, one, many): (&[Write], _, &[String]) = match self {
            Self::Write(writes) => (writes, None, &[]),
            Self::Swap { key, .. } | Self::Increment { key, .. } => (&[], Some(key), &[]),
            Self::Sweep { keys, .. } => (&[], None, keys.as_slice()),
        };
        writes.iter().map(|write| &write.key).chain(one).chain(many)
    }

    /// How many bytes of values it brings.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Write(writes) => writes.iter().filter_map(|write| write.value.as_ref()).map(Bytes::len).sum(),
            Self::Swap { value, .. } => value.len(),
            Self::Increment { .. } | Self::Sweep { .. } => COUNTER_BYTES,
        }
    }
}

/// How a change went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Swapped(Swapped),
    Count(i64),
}

pub(super) type Answered = Result<Answer, KeyValueError>;

/// What is known to be at a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Its part of the ledger's bytes; none where there is nothing.
    counted: Option<u64>,
    /// The value's version; 0 where there is nothing. None for one that this round has given.
    version: Option<u64>,
    /// The value, if it is short enough for a counter's.
    short: Option<Bytes>,
    /// Whether the value is in two messages.
    has_rest: bool,
    expires: Option<u64>,
}

impl Known {
    pub(super) fn of(key: &str, found: Option<&Value>) -> Self {
        let Some(found) = found else { return Self { version: Some(0), ..Self::default() } };
        Self {
            counted: Some(key.len() as u64 + found.size()),
            version: Some(found.sequence),
            short: (found.size() <= COUNTER_BYTES as u64).then(|| found.payload.clone()),
            has_rest: found.rest > 0,
            expires: found.expires,
        }
    }

    /// The round is stored: its value has this version.
    pub(super) fn stored(&mut self, version: u64, has_rest: bool) {
        if self.counted.is_some() {
            self.version = Some(version);
        }
        self.has_rest = has_rest;
    }

    fn is_there(&self, now: u64) -> bool {
        self.counted.is_some() && self.expires.is_none_or(|expires| expires > now)
    }
}

/// What is at a key after the round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// None where it is deleted.
    pub(super) value: Option<Bytes>,
    pub(super) expires: Option<u64>,
    /// Whether the rest of an earlier value is to go.
    pub(super) had_rest: bool,
}

/// A round in the making.
pub(super) struct Round<'a> {
    pub(super) ledger: Ledger,
    /// The place in the stream of the ledger that it began with.
    pub(super) sequence: u64,
    pub(super) known: &'a mut BTreeMap<String, Known>,
    pub(super) outcomes: BTreeMap<String, Outcome>,
    pub(super) now: u64,
    /// The longest value that fits into two messages.
    pub(super) longest: usize,
}

impl Round<'_> {
    /// Applies one change. Whatever it refuses, it leaves as it was; only of several writes those before the refused one stay.
    pub(super) fn apply(&mut self, bucket: &Bucket, change: &Change) -> Answered {
        match change {
            Change::Write(writes) => {
                for write in writes {
                    match &write.value {
                        Some(value) => self.set(bucket, &write.key, value.clone())?,
                        None => self.delete(&write.key),
                    }
                }
                Ok(Answer::Done)
            }
            Change::Swap { key, version, value } => {
                let known = self.at(key);
                let current = if known.is_there(self.now) { known.version } else { Some(0) };
                if current != Some(*version) {
                    return Ok(Answer::Swapped(Swapped::Outdated));
                }
                self.set(bucket, key, value.clone())?;
                Ok(Answer::Swapped(Swapped::Done))
            }
            Change::Increment { key, by } => {
                let count = self.count(&bucket.id, key)?.checked_add(*by);
                let count = count.ok_or_else(|| not_a_number(&bucket.id, key))?;
                self.set(bucket, key, count.to_string().into())?;
                Ok(Answer::Count(count))
            }
            Change::Sweep { keys, earliest, as_of } => {
                for key in keys {
                    let known = self.at(key);
                    if known.counted.is_some() && !known.is_there(self.now) {
                        self.delete(key);
                    }
                }
                // What was written since the look is not in it: then it is to be looked again at once.
                let since = (*as_of != self.sequence).then_some(self.now);
                let here = self.outcomes.values().filter_map(|outcome| outcome.expires).min();
                self.ledger.earliest = [*earliest, since, here].into_iter().flatten().min();
                Ok(Answer::Done)
            }
        }
    }

    fn at(&self, key: &str) -> Known {
        self.known.get(key).cloned().unwrap_or_default()
    }

    fn count(&self, bucket: &BucketId, key: &str) -> Result<i64, KeyValueError> {
        let known = self.at(key);
        if !known.is_there(self.now) {
            return Ok(0);
        }
        let text = known.short.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        text.and_then(|text| text.parse().ok()).ok_or_else(|| not_a_number(bucket, key))
    }

    fn set(&mut self, bucket: &Bucket, key: &str, value: Bytes) -> Result<(), KeyValueError> {
        if value.len() > self.longest {
            return Err(too_long_for_the_server(key, value.len(), self.longest));
        }
        let known = self.at(key);
        let (before, after) = (known.counted.unwrap_or(0), (key.len() + value.len()) as u64);
        let (used, limit) = (self.ledger.bytes, bucket.max_bytes.as_bytes());
        if after > before && used.saturating_sub(before).saturating_add(after) > limit {
            return Err(KeyValueError::Full { bucket: bucket.id.clone(), used, limit, more: after - before });
        }
        self.ledger.bytes = used.saturating_sub(before) + after;
        self.ledger.keys += u64::from(known.counted.is_none());
        let expires = bucket.ttl.map(|ttl| {
            let span = u64::try_from(ttl.as_duration().as_millis()).unwrap_or(u64::MAX);
            self.now.saturating_add(span)
        });
        self.ledger.earliest = [self.ledger.earliest, expires].into_iter().flatten().min();
        let had_rest = self.settle(key, known.has_rest, Some(value.clone()), expires);
        let short = (value.len() <= COUNTER_BYTES).then_some(value);
        let now_known = Known { counted: Some(after), version: None, short, has_rest: had_rest, expires };
        self.known.insert(key.to_owned(), now_known);
        Ok(())
    }

    fn delete(&mut self, key: &str) {
        let known = self.at(key);
        let Some(before) = known.counted else { return };
        self.ledger.bytes = self.ledger.bytes.saturating_sub(before);
        self.ledger.keys = self.ledger.keys.saturating_sub(1);
        let has_rest = self.settle(key, known.has_rest, None, None);
        // Another's version of what this round made can only be one that is over.
        self.known.insert(key.to_owned(), Known { version: Some(0), has_rest, ..Known::default() });
    }

    fn settle(&mut self, key: &str, had_rest: bool, value: Option<Bytes>, expires: Option<u64>) -> bool {
        self.outcomes.insert(key.to_owned(), Outcome { value, expires, had_rest });
        had_rest
    }

    /// The keys that are still to be looked up.
    pub(super) fn unknown<'c>(&self, changes: impl Iterator<Item = &'c Change>) -> BTreeSet<String> {
        changes.flat_map(Change::keys).filter(|key| !self.known.contains_key(*key)).cloned().collect()
    }
}

fn not_a_number(bucket: &BucketId, key: &str) -> KeyValueError {
    KeyValueError::NotANumber { bucket: bucket.clone(), key: key.to_owned() }
}

fn too_long_for_the_server(key: &str, size: usize, longest: usize) -> KeyValueError {
    KeyValueError::Invalid(format!(
        "key `{key}`: a value of {size} bytes; the NATS server takes {longest} at most, which follows from its `max_payload`: \
         raise that, 1 MiB is enough"
    ))
}
