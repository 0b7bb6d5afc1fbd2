//! What is kept of a session: its data, and how old it is.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Kept as JSON: in the cookie, or in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it began, in seconds since 1970.
    started: u64,
    /// When it was last kept.
    kept: u64,
    pub(super) data: Map<String, Value>,
}

/// One change of the data: a value, or none to remove it.
pub(super) type Change = (String, Option<Value>);

impl Record {
    pub(super) fn new() -> Self {
        let now = now();
        Self { started: now, kept: now, data: Map::new() }
    }

    pub(super) fn is_over(&self, idle: Duration, lifetime: Duration) -> bool {
        self.left(idle, lifetime).is_zero()
    }

    /// How long it lasts if it is not used again.
    pub(super) fn left(&self, idle: Duration, lifetime: Duration) -> Duration {
        let until = |from: u64, time: Duration| from.saturating_add(time.as_secs());
        Duration::from_secs(until(self.kept, idle).min(until(self.started, lifetime)).saturating_sub(now()))
    }

    /// How long ago it was kept.
    pub(super) fn age(&self) -> Duration {
        Duration::from_secs(now().saturating_sub(self.kept))
    }

    pub(super) fn keep(&mut self) {
        self.kept = now();
    }

    pub(super) fn start_again(&mut self) {
        self.started = now();
    }

    pub(super) fn apply(&mut self, (name, value): Change) {
        match value {
            Some(value) => self.data.insert(name, value),
            None => self.data.remove(&name),
        };
    }
}

fn now() -> u64 {
    crate::guest::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
