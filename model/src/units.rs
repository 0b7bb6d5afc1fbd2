//! Sizes and spans of time as people write them: `128MiB`, `30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a size or a span could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("`{0}` is not a size: write a whole number and a unit, as in `64KiB`, `128MiB` or `1GiB`")]
    Size(String),
    /// Not a span of time.
    #[error("`{0}` is not a span of time: write a whole number and a unit, as in `250ms`, `30s`, `5m` or `2h`")]
    Span(String),
}

/// A number of bytes, written with a unit: `B`, `KiB`, `MiB`, `GiB` (powers of 1024) or `KB`, `MB`, `GB` (powers of 1000).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// This many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many mebibytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

/// Splits `128MiB` into the number and what stands behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parse = || {
            let (number, unit) = split(text)?;
            let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*factor)
        };
        parse().map(Self).ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |factor: u64| self.0 >= factor && self.0.is_multiple_of(factor);
        let (unit, factor) = SIZES[..3].iter().find(|(_, factor)| exact(*factor)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

/// A span of time, written with a unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Span {
    /// This many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// This many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The span as the standard library's type.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parse = || {
            let (number, unit) = split(text)?;
            let (_, factor) = SPANS.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*factor)
        };
        parse().map(Self::millis).ok_or_else(|| UnitError::Span(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let exact = |factor: u64| millis >= factor && millis.is_multiple_of(factor);
        let (unit, factor) = SPANS.iter().find(|(_, factor)| exact(*factor)).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", millis / factor)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Span {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_spans_are_read_as_people_write_them() {
        assert_eq!("128MiB".parse(), Ok(ByteSize::mib(128)));
        assert_eq!("10 KB".parse(), Ok(ByteSize::bytes(10_000)));
        assert_eq!("30s".parse(), Ok(Span::secs(30)));
        assert_eq!("5m".parse(), Ok(Span::secs(300)));
    }

    #[test]
    fn a_number_without_a_unit_or_too_large_is_refused_by_its_own_text() {
        for bad in ["", "5", "MiB", "-1MiB", "1.5GiB", "1tb", "99999999999999GiB"] {
            assert_eq!(bad.parse::<ByteSize>(), Err(UnitError::Size(bad.to_owned())));
            assert_eq!(bad.parse::<Span>(), Err(UnitError::Span(bad.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(bytes in any::<u64>(), millis in 0..u64::MAX / 86_400_000) {
            prop_assert_eq!(ByteSize::bytes(bytes).to_string().parse(), Ok(ByteSize::bytes(bytes)));
            prop_assert_eq!(Span::millis(millis).to_string().parse(), Ok(Span::millis(millis)));
        }
    }
}
