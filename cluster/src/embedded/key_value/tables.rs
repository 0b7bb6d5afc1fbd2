//! How buckets lie in redb.
//!
//! ```text
//! entries   bucket number, key                  version, expiry, and the value if it is short
//! blobs     version                             a value that is longer: versions are unique
//! expiry    bucket number, expiry, key          nothing: what is swept next
//! buckets   the bucket's name                   its number, keys, bytes
//! cleared   bucket number                       nothing: entries that nobody reads any more are swept
//! meta      `version`, `number`, `applied`      the last version and bucket number given, the last batch of the log that is in
//! ```
//!
//! A bucket has a number, so that clearing it is one step: it gets another, and what lies under the old one is swept. Long values
//! lie apart, so that listing keys does not read them, and a short value beside a long one is not written with it.

use redb::TableDefinition;
use samovar_model::MAX_KEY_BYTES;

pub(super) const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
pub(super) const BLOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blobs");
pub(super) const EXPIRY: TableDefinition<'_, &[u8], ()> = TableDefinition::new("expiry");
pub(super) const BUCKETS: TableDefinition<'_, &str, (u32, u64, u64)> = TableDefinition::new("buckets");
pub(super) const CLEARED: TableDefinition<'_, u32, ()> = TableDefinition::new("cleared");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The longest value that lies in `entries` itself: a leaf of 4 KiB holds a few of these.
const MAX_INLINE_BYTES: usize = 1024;

const NUMBER_BYTES: usize = size_of::<u32>();
const EXPIRY_BYTES: usize = size_of::<u64>();
const MAX_ROW_BYTES: usize = NUMBER_BYTES + EXPIRY_BYTES + MAX_KEY_BYTES;

/// A key of `entries` or `expiry`, made without an allocation.
pub(super) struct Row {
    bytes: [u8; MAX_ROW_BYTES],
    len: usize,
}

impl Row {
    /// The row of an entry.
    pub(super) fn entry(number: u32, key: &str) -> Self {
        Self::of(&[&number.to_be_bytes(), key.as_bytes()])
    }

    /// The row that says when an entry goes.
    pub(super) fn expiry(number: u32, expires: u64, key: &str) -> Self {
        Self::of(&[&number.to_be_bytes(), &expires.to_be_bytes(), key.as_bytes()])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut row = Self { bytes: [0; MAX_ROW_BYTES], len: 0 };
        for part in parts {
            let end = (row.len + part.len()).min(MAX_ROW_BYTES);
            // Keys are checked where they come in; a longer one would be cut here rather than panic.
            row.bytes[row.len..end].copy_from_slice(&part[..end - row.len]);
            row.len = end;
        }
        row
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The key in a row of `entries`, if it is one of this bucket.
pub(super) fn key_of_entry(row: &[u8], number: u32) -> Option<&str> {
    let (of, key) = row.split_at_checked(NUMBER_BYTES)?;
    if of == number.to_be_bytes() { str::from_utf8(key).ok() } else { None }
}

/// The expiry and the key in a row of `expiry`, if it is one of this bucket.
pub(super) fn key_of_expiry(row: &[u8], number: u32) -> Option<(u64, &str)> {
    let (expires, key) = row.strip_prefix(&number.to_be_bytes())?.split_at_checked(EXPIRY_BYTES)?;
    Some((u64::from_be_bytes(expires.try_into().ok()?), str::from_utf8(key).ok()?))
}

/// What `entries` says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) version: u64,
    /// When it goes, in milliseconds since 1970; 0 where it stays.
    pub(super) expires: u64,
    pub(super) value: Value<'a>,
}

/// A value, or where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Inline(&'a [u8]),
    /// In `blobs`, under the version; this long.
    Blob(u32),
}

impl<'a> Value<'a> {
    /// Where a value goes.
    pub(super) fn placed(value: &'a [u8]) -> Self {
        match u32::try_from(value.len()) {
            Ok(len) if value.len() > MAX_INLINE_BYTES => Self::Blob(len),
            _ => Self::Inline(value),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Inline(value) => value.len(),
            Self::Blob(len) => *len as usize,
        }
    }
}

const INLINE: u8 = 0;
const BLOB: u8 = 1;

impl<'a> Record<'a> {
    /// Whether it is past its time.
    pub(super) fn expired(&self, now: u64) -> bool {
        self.expires != 0 && self.expires <= now
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.version.to_le_bytes());
        into.extend_from_slice(&self.expires.to_le_bytes());
        match self.value {
            Value::Inline(value) => {
                into.push(INLINE);
                into.extend_from_slice(value);
            }
            Value::Blob(len) => {
                into.push(BLOB);
                into.extend_from_slice(&len.to_le_bytes());
            }
        }
    }

    /// Reads what [`Record::encode`] wrote; none where it is something else.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let value = match *kind {
            INLINE => Value::Inline(rest),
            BLOB => Value::Blob(u32::from_le_bytes(rest.try_into().ok()?)),
            _ => return None,
        };
        Some(Self { version: u64::from_le_bytes(*version), expires: u64::from_le_bytes(*expires), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (short, long) = (vec![1; MAX_INLINE_BYTES], vec![1; MAX_INLINE_BYTES + 1]);
        let mut bytes = Vec::new();
        for value in [&[][..], &short, &long] {
            let record = Record { version: 7, expires: 9, value: Value::placed(value) };
            record.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes), Some(record));
            assert_eq!(record.value.len(), value.len());
        }
        assert_eq!(Value::placed(&long), Value::Blob(1025));
        for broken in [&[][..], &[0; 16], &[2; 17], &[BLOB; 18]] {
            assert_eq!(Record::decode(broken), None);
        }
    }

    #[test]
    fn rows_are_read_back_and_sort_by_bucket_then_time_or_key() {
        assert_eq!(key_of_entry(Row::entry(7, "k/ä").as_bytes(), 7), Some("k/ä"));
        assert_eq!(key_of_entry(Row::entry(8, "k").as_bytes(), 7), None);
        assert_eq!(key_of_expiry(Row::expiry(7, 300, "k").as_bytes(), 7), Some((300, "k")));
        assert!(Row::expiry(7, 255, "z").as_bytes() < Row::expiry(7, 256, "a").as_bytes());
        assert!(Row::entry(255, "z").as_bytes() < Row::entry(256, "").as_bytes());
    }
}
