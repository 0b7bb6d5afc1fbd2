//! Key-value buckets: what a function calls them, and what the platform does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, FunctionName, Span};

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The name of a bucket, as a manifest and a guest know it: 1 to 63 of `a-z`, `A-Z`, `0-9`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

/// A text that is not the name of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a bucket's name: use 1 to 63 of a-z, A-Z, 0-9, `-` and `_`")]
pub struct BucketNameError(String);

impl BucketName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = BucketNameError;

    fn from_str(text: &str) -> Result<Self, BucketNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let valid = (1..=63).contains(&text.len()) && text.bytes().all(allowed);
        if valid { Ok(Self(text.to_owned())) } else { Err(BucketNameError(text.to_owned())) }
    }
}

impl TryFrom<String> for BucketName {
    type Error = BucketNameError;

    fn try_from(text: String) -> Result<Self, BucketNameError> {
        text.parse()
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a write is acknowledged. Either way it is on disk by then: what differs is how long it waits for others to be written
/// with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// At once, with whatever else was waiting (the default): the shortest time for one write.
    #[default]
    Sync,
    /// Together with what comes within a few milliseconds: more writes per second, each a little later.
    Batched,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Batched => "batched",
        })
    }
}

/// A bucket that a function is granted: an entry of `[function.NAME.kv]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketGrant {
    /// How long a value is kept after it was last written. Default: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// The most that the bucket holds, keys and values together; a write past it is refused. Default 64 MiB.
    pub max_bytes: ByteSize,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// The name under which several functions share the bucket. Default: it is the function's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<BucketName>,
}

impl Default for BucketGrant {
    fn default() -> Self {
        Self { ttl: None, max_bytes: ByteSize::mib(64), durability: Durability::Sync, shared: None }
    }
}

impl BucketGrant {
    /// The bucket that `function` means when it says `name`.
    pub fn bucket(&self, function: &FunctionName, name: &BucketName) -> Bucket {
        let id = match &self.shared {
            Some(shared) => BucketId::Shared(shared.clone()),
            None => BucketId::Own(function.clone(), name.clone()),
        };
        Bucket { id, ttl: self.ttl, max_bytes: self.max_bytes, durability: self.durability }
    }
}

/// Which bucket, within the whole platform. Written `FUNCTION/NAME`, or `NAME` for one that is shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BucketId {
    /// A function's own.
    Own(FunctionName, BucketName),
    /// Shared under this name.
    Shared(BucketName),
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(function, name) => write!(f, "{function}/{name}"),
            Self::Shared(name) => write!(f, "{name}"),
        }
    }
}

/// A text that names no bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no bucket: write FUNCTION/NAME, or NAME for a bucket that is shared")]
pub struct BucketIdError(String);

impl FromStr for BucketId {
    type Err = BucketIdError;

    fn from_str(text: &str) -> Result<Self, BucketIdError> {
        let parsed = match text.split_once('/') {
            Some((function, name)) => function.parse().ok().zip(name.parse().ok()).map(|(f, n)| Self::Own(f, n)),
            None => text.parse().ok().map(Self::Shared),
        };
        parsed.ok_or_else(|| BucketIdError(text.to_owned()))
    }
}

impl TryFrom<String> for BucketId {
    type Error = BucketIdError;

    fn try_from(text: String) -> Result<Self, BucketIdError> {
        text.parse()
    }
}

impl From<BucketId> for String {
    fn from(id: BucketId) -> Self {
        id.to_string()
    }
}

/// A bucket with its rules, as whoever uses it knows them: made from a [`BucketGrant`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Which one.
    pub id: BucketId,
    /// How long a value is kept after it was last written; for ever when absent.
    pub ttl: Option<Span>,
    /// The most that it holds, keys and values together.
    pub max_bytes: ByteSize,
    /// When a write is acknowledged.
    pub durability: Durability,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_functions_own_unless_it_is_shared() {
        let (function, name) = ("shop".parse().expect("a name"), "sessions".parse().expect("a name"));
        let own = BucketGrant::default().bucket(&function, &name).id;
        assert_eq!(own.to_string(), "shop/sessions");
        let shared = Some("all".parse().expect("a name"));
        let shared = BucketGrant { shared, ..BucketGrant::default() }.bucket(&function, &name).id;
        assert_eq!(shared.to_string(), "all");
        for id in [own, shared] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn names_that_could_leave_their_place_are_refused() {
        for bad in ["", ".", "a/b", "a.b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
        for bad in ["", "a/", "/a", "A/b", "a/b/c"] {
            assert!(bad.parse::<BucketId>().is_err(), "{bad}");
        }
    }
}
