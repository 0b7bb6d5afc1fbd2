//! Hosts as their cluster knows them: who they are, what they report, and whether they can be counted on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::member_id::member_id;

member_id! {
    /// A host's name: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit. Kept over restarts.
    HostId,
    /// Why a text is not a host's name.
    HostIdError: "`{0}` is not a host's name: use 1 to 63 of a-z, 0-9 and `-`, with a letter or digit first and last"
}

/// One run of a host's process: a later run has a larger number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootEpoch(pub u64);

impl BootEpoch {
    /// The number for a run that starts now, as far as this machine's clock can tell: microseconds since 1970.
    pub fn now() -> Self {
        Self(u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0))
    }
}

impl fmt::Display for BootEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a host can do at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCapacity {
    /// Instances at once, of all functions.
    pub instances: u64,
    /// Memory for instances and code.
    pub memory_bytes: u64,
    /// Invocations at once that it serves well: gateways prefer other hosts past most of them. At most `instances`.
    #[serde(default)]
    pub slots: u64,
}

/// How much of it is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLoad {
    /// Instances that run an invocation.
    pub busy: u64,
    /// Instances that wait for one.
    pub idle: u64,
    /// Invocations that were admitted and have not ended.
    pub in_flight: u64,
}

/// What a host wants to be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostIntent {
    /// Invocations.
    #[default]
    Ready,
    /// Nothing new.
    Draining,
}

/// What a host tells anew with every renewal of its lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// What it wants to be given.
    pub intent: HostIntent,
    /// The version of the registry that it answers by.
    #[serde(default)]
    pub routed: u64,
    /// How busy it is.
    pub load: HostLoad,
    /// The artifacts whose code it has loaded.
    pub warm: BTreeSet<Digest>,
}

/// A host as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name.
    pub id: HostId,
    /// Where gateways reach it, as in `10.0.0.7:7070`.
    pub address: String,
    /// Samovar's version.
    pub version: String,
    /// Which run of the host this is.
    pub epoch: BootEpoch,
    /// When this run began.
    pub started: Timestamp,
    /// What it can do at most.
    pub capacity: HostCapacity,
    /// What changes while it runs.
    #[serde(flatten)]
    pub report: HostReport,
}

/// Whether a host can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It takes invocations.
    Ready,
    /// It finishes what is running, and takes nothing new.
    Draining,
    /// It has not been heard of for some time.
    Suspect,
    /// It has not been heard of for so long that its lease is over.
    Gone,
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Suspect => "suspect",
            Self::Gone => "gone",
        })
    }
}

/// A host, and what is thought of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it told last.
    pub record: Arc<HostRecord>,
    /// Whether it can be counted on.
    pub state: HostState,
}

/// All hosts that are known, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// The hosts by name.
    pub members: BTreeMap<HostId, Member>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_flat_json() {
        let record = HostRecord {
            id: "a".parse().expect("a name"),
            address: "10.0.0.7:7070".to_owned(),
            version: "0.1.0".to_owned(),
            epoch: BootEpoch(7),
            started: Timestamp::UNIX_EPOCH,
            capacity: HostCapacity::default(),
            report: HostReport { intent: HostIntent::Draining, ..HostReport::default() },
        };
        let json = serde_json::to_value(&record).expect("json");
        assert_eq!((&json["epoch"], &json["intent"]), (&7.into(), &"draining".into()));
        assert_eq!(serde_json::from_value::<HostRecord>(json).expect("a record"), record);
    }
}
