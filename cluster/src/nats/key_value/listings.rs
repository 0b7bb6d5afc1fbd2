//! Listings that go on: the keys that a page left over, for whoever asks for the next page.
//!
//! Every page of a large bucket would otherwise cost a look through all of it. What is left over is only given to a call that goes
//! on exactly where the page ended, and soon: a listing shows what is written meanwhile, or does not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use samovar_model::BucketId;
use tokio::time::Instant;

use crate::key_value::Page;

/// How long the rest of a listing is kept.
const KEPT: Duration = Duration::from_secs(10);
/// How many listings, and how many keys of all of them.
const LISTINGS: usize = 64;
const KEYS: usize = 1 << 20;

/// Where a listing goes on, and with what.
struct Rest {
    bucket: BucketId,
    prefix: String,
    after: String,
    keys: Vec<String>,
    begun: Instant,
}

/// The listings of one process that have not ended.
#[derive(Default)]
pub(super) struct Listings {
    rests: Mutex<Vec<Rest>>,
}

impl Listings {
    /// What is left of the listing that came to this key.
    pub(super) fn resume(&self, bucket: &BucketId, prefix: &str, after: &str) -> Option<Vec<String>> {
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        rests.retain(|rest| rest.begun.elapsed() < KEPT);
        let same = |rest: &Rest| rest.bucket == *bucket && rest.prefix == prefix && rest.after == after;
        let place = rests.iter().position(same)?;
        Some(rests.swap_remove(place).keys)
    }

    /// The first of the keys; the others are kept for the next page.
    pub(super) fn page(&self, bucket: &BucketId, prefix: String, mut keys: Vec<String>, limit: usize) -> Page {
        if keys.len() <= limit {
            return Page { keys, more: false };
        }
        let left = keys.split_off(limit);
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        rests.retain(|rest| rest.begun.elapsed() < KEPT);
        while !rests.is_empty() && (rests.len() >= LISTINGS || total(&rests) + left.len() > KEYS) {
            rests.remove(0);
        }
        if let Some(after) = keys.last().filter(|_| left.len() <= KEYS) {
            let (bucket, after) = (bucket.clone(), after.clone());
            rests.push(Rest { bucket, prefix, after, keys: left, begun: Instant::now() });
        }
        Page { keys, more: true }
    }
}

fn total(rests: &[Rest]) -> usize {
    rests.iter().map(|rest| rest.keys.len()).sum()
}
