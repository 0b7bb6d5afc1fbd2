//! Gateways as their cluster knows them: who they are, and by which state of the registry they route.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::member_id::member_id;

member_id! {
    /// The name of one run of a gateway: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit. No
    /// other run has it: see [`GatewayId::of_run`].
    GatewayId,
    /// Why a text is not a gateway's name.
    GatewayIdError: "`{0}` is not a gateway's name: use 1 to 63 of a-z, 0-9 and `-`, with a letter or digit first and last"
}

impl GatewayId {
    /// A name like no other: what people call the gateway (its first 46 characters), and a random number of this run.
    ///
    /// # Errors
    /// When `name` has other characters than a gateway's name can have.
    pub fn of_run(name: &str, random: u64) -> Result<Self, GatewayIdError> {
        format!("{name:.46}-{random:016x}").parse()
    }
}

/// A gateway as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRecord {
    /// The name of this run.
    pub id: GatewayId,
    /// Where it listens, as in `10.0.0.7:8080`.
    pub address: String,
    /// Samovar's version.
    pub version: String,
    /// When this run began.
    pub started: Timestamp,
    /// The version of the registry by which it routes.
    pub routed: u64,
}

/// Whether a gateway can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayState {
    /// It is there.
    Ready,
    /// It has not been heard of for some time.
    Suspect,
    /// It has not been heard of for so long that its lease is over.
    Gone,
}

/// A gateway, and what is thought of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayMember {
    /// What it told last.
    pub record: Arc<GatewayRecord>,
    /// Whether it can be counted on.
    pub state: GatewayState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_name_of_its_own() {
        let name = |text: &str, random| GatewayId::of_run(text, random).map(|id| id.to_string());
        assert_eq!(name("edge-1", 7).as_deref(), Ok("edge-1-0000000000000007"));
        assert_eq!(name(&"a".repeat(80), u64::MAX).map(|name| name.len()), Ok(63));
        for bad in ["", "-a", "A", "a.b"] {
            assert!(name(bad, 7).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_is_flat_json() {
        let record = GatewayRecord {
            id: "edge-1".parse().expect("a name"),
            address: "10.0.0.7:8080".to_owned(),
            version: "0.1.0".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            routed: 7,
        };
        let json = serde_json::to_value(&record).expect("json");
        assert_eq!((&json["id"], &json["routed"]), (&"edge-1".into(), &7.into()));
        assert_eq!(serde_json::from_value::<GatewayRecord>(json).expect("a record"), record);
    }
}
