//! What a batch does to the tables, as it stands in the log. Changes are outcomes: whoever reads them later decides nothing.

use samovar_model::BucketId;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// A bucket gets a number.
    Open { number: u32, id: BucketId },
    /// A value is written; `expires` as in [`Record`](super::tables::Record).
    Set { number: u32, key: &'a str, version: u64, expires: u64, value: &'a [u8] },
    /// A key is deleted.
    Remove { number: u32, key: &'a str },
    /// A bucket loses its number, and with it all that it holds.
    Clear { number: u32 },
}

const OPEN: u8 = 1;
const SET: u8 = 2;
const REMOVE: u8 = 3;
const CLEAR: u8 = 4;

impl<'a> Change<'a> {
    /// Appends it to a batch.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let begin = |into: &mut Vec<u8>, kind: u8, number: u32| {
            into.push(kind);
            into.extend_from_slice(&number.to_le_bytes());
        };
        match self {
            Self::Open { number, id } => {
                begin(into, OPEN, *number);
                text(into, id.to_string().as_bytes());
            }
            Self::Set { number, key, version, expires, value } => {
                begin(into, SET, *number);
                into.extend_from_slice(&version.to_le_bytes());
                into.extend_from_slice(&expires.to_le_bytes());
                text(into, key.as_bytes());
                text(into, value);
            }
            Self::Remove { number, key } => {
                begin(into, REMOVE, *number);
                text(into, key.as_bytes());
            }
            Self::Clear { number } => begin(into, CLEAR, *number),
        }
    }

    /// Takes the first change of a batch; none where there is none that can be read.
    pub(super) fn decode(from: &mut &'a [u8]) -> Option<Self> {
        let (kind, rest) = from.split_first()?;
        *from = rest;
        let number = u32::from_le_bytes(take(from)?);
        Some(match *kind {
            OPEN => Self::Open { number, id: take_text(from)?.parse().ok()? },
            SET => {
                let (version, expires) = (u64::from_le_bytes(take(from)?), u64::from_le_bytes(take(from)?));
                Self::Set { number, version, expires, key: take_text(from)?, value: take_bytes(from)? }
            }
            REMOVE => Self::Remove { number, key: take_text(from)? },
            CLEAR => Self::Clear { number },
            _ => return None,
        })
    }
}

fn text(into: &mut Vec<u8>, bytes: &[u8]) {
    // Values are a MiB at most, and keys and names far below.
    into.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend_from_slice(bytes);
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_le_bytes(take(from)?) as usize;
    let (taken, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(taken)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    str::from_utf8(take_bytes(from)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_written() {
        let changes = [
            Change::Open { number: 7, id: "shop/sessions".parse().unwrap() },
            Change::Set { number: 7, key: "k", version: 8, expires: 9, value: b"\x00\xff" },
            Change::Set { number: 7, key: "ä", version: u64::MAX, expires: 0, value: b"" },
            Change::Remove { number: 7, key: "k" },
            Change::Clear { number: 7 },
        ];
        let mut batch = Vec::new();
        for change in &changes {
            change.encode(&mut batch);
        }
        let mut rest = batch.as_slice();
        for change in changes {
            assert_eq!(Change::decode(&mut rest), Some(change));
        }
        assert_eq!((rest, Change::decode(&mut rest)), (&[][..], None));
        for cut in 1..batch.len() {
            let mut part = &batch[..cut];
            while Change::decode(&mut part).is_some() {}
        }
    }
}
