//! The names of the policies, as users write them.

use std::fmt;
use std::str::FromStr;

/// How the host of a request is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Preferred hosts by rendezvous hashing, as many as the function's demand wants, and the better of two of them at random.
    #[default]
    Adaptive,
    /// The first host in the function's rendezvous order that is not above 1.25 times the mean.
    Hash,
    /// The better of two hosts at random, by smoothed latency and requests in flight.
    P2c,
    /// The host with the fewest requests in flight for its slots.
    FewestConnections,
    /// One host after the other.
    RoundRobin,
    /// Any host.
    Random,
}

impl Policy {
    /// All of them, the default first.
    pub const ALL: [Self; 6] =
        [Self::Adaptive, Self::Hash, Self::P2c, Self::FewestConnections, Self::RoundRobin, Self::Random];

    /// The name that configuration has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Hash => "hash",
            Self::P2c => "p2c",
            Self::FewestConnections => "fewest_connections",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
        }
    }
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no load balancing policy `{0}`: use one of {names}", names = names())]
pub struct UnknownPolicy(String);

fn names() -> String {
    Policy::ALL.map(|policy| format!("`{policy}`")).join(", ")
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Policy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_as_its_policy() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
            let json = serde_json::to_string(&policy).unwrap();
            assert_eq!(json, format!("\"{policy}\""));
            assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        }
    }

    #[test]
    fn an_unknown_name_is_told_which_there_are() {
        let error = "least".parse::<Policy>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no load balancing policy `least`: use one of `adaptive`, `hash`, `p2c`, `fewest_connections`, \
             `round_robin`, `random`"
        );
    }
}
