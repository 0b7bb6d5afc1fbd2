//! A bucket's ledger: how much the bucket holds, and who wrote to it last.
//!
//! Every write of a bucket is one atomic batch that ends with the ledger, under the condition that the ledger is still the one
//! that the write was decided on. So writes of a bucket happen one after the other, whoever makes them; what was read since the
//! ledger is what it was when the write is stored; and the numbers are exact.

use serde::{Deserialize, Serialize};

use crate::nats::commits::Commits;

/// What the message of a ledger holds, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The keys, those included that are past their time.
    pub(super) keys: u64,
    /// Keys and values together.
    pub(super) bytes: u64,
    /// Before this, no key is past its time; in milliseconds since 1970. Absent where none ever is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) earliest: Option<u64>,
    /// Since when the bucket is being cleared, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clearing: Option<u64>,
    /// The names of the last commits.
    #[serde(default)]
    pub(super) commits: Commits,
}

/// A ledger as it was read or written.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) ledger: Ledger,
    /// Its place in the stream; 0 where there is none yet.
    pub(super) sequence: u64,
}
