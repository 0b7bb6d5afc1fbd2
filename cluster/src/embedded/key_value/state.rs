//! What the writer knows without looking: the buckets with what they hold, and the numbers given last. It is in the tables with
//! each commit, and read from them when the store is opened.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use samovar_model::BucketId;

use super::tables::{BUCKETS, META};

/// The bucket of each name, as readers look it up.
pub(super) type Numbers = Arc<HashMap<BucketId, u32>>;

/// A bucket and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: BucketId,
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The last version that was given to a value.
    pub(super) version: u64,
    /// The last number that was given to a bucket.
    pub(super) number: u32,
    /// The last batch of the log that is in the tables.
    pub(super) applied: u64,
    pub(super) numbers: Numbers,
    pub(super) held: HashMap<u32, Held>,
    /// The buckets that have changed since they were stored.
    pub(super) changed: BTreeSet<u32>,
}

const VERSION: &str = "version";
const NUMBER: &str = "number";
const APPLIED: &str = "applied";

impl State {
    /// Reads what is stored.
    pub(super) fn load(txn: &WriteTransaction) -> Result<Self, redb::Error> {
        let meta = txn.open_table(META)?;
        let stored = |name: &str| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |value| value.value()));
        let number = u32::try_from(stored(NUMBER)?).map_err(|_| redb::Error::Corrupted("bucket numbers".to_owned()))?;
        let mut state = Self { version: stored(VERSION)?, number, applied: stored(APPLIED)?, ..Self::default() };
        for row in txn.open_table(BUCKETS)?.iter()? {
            let (id, row) = row?;
            let (number, keys, bytes) = row.value();
            let id: BucketId =
                id.value().parse().map_err(|error| redb::Error::Corrupted(format!("a bucket's name: {error}")))?;
            state.open(number, id);
            state.held.entry(number).and_modify(|held| (held.keys, held.bytes) = (keys, bytes));
        }
        state.changed.clear();
        Ok(state)
    }

    /// Stores what has changed.
    pub(super) fn store(&mut self, txn: &WriteTransaction) -> Result<(), redb::Error> {
        let mut meta = txn.open_table(META)?;
        for (name, value) in [(VERSION, self.version), (NUMBER, self.number.into()), (APPLIED, self.applied)] {
            meta.insert(name, value)?;
        }
        let mut buckets = txn.open_table(BUCKETS)?;
        for number in std::mem::take(&mut self.changed) {
            if let Some(held) = self.held.get(&number) {
                buckets.insert(held.id.to_string().as_str(), (number, held.keys, held.bytes))?;
            }
        }
        Ok(())
    }

    /// A bucket has this number from now on.
    pub(super) fn open(&mut self, number: u32, id: BucketId) {
        Arc::make_mut(&mut self.numbers).insert(id.clone(), number);
        self.held.insert(number, Held { id, keys: 0, bytes: 0 });
        self.number = self.number.max(number);
        self.changed.insert(number);
    }

    /// A bucket has no number any more; its name, if it had one.
    pub(super) fn close(&mut self, number: u32) -> Option<BucketId> {
        let held = self.held.remove(&number)?;
        Arc::make_mut(&mut self.numbers).remove(&held.id);
        self.changed.remove(&number);
        Some(held.id)
    }

    /// A bucket holds this many keys and bytes more or fewer.
    pub(super) fn count(&mut self, number: u32, keys: i64, bytes: i64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.keys = held.keys.saturating_add_signed(keys);
            held.bytes = held.bytes.saturating_add_signed(bytes);
            self.changed.insert(number);
        }
    }
}
