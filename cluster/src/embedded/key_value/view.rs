//! What readers see: the tables as the last acknowledged batch left them.

use std::ops::Bound;

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase};
use samovar_model::BucketId;

use super::clock;
use super::state::Numbers;
use super::tables::{BLOBS, BUCKETS, ENTRIES, Record, Row, Value, key_of_entry};
use crate::key_value::{BucketUsage, Entry, Page, Range};

/// One state of the tables. Opened once for each commit, and then shared: a read begins no transaction and opens no table.
pub(super) struct View {
    numbers: Numbers,
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    blobs: ReadOnlyTable<u64, &'static [u8]>,
    buckets: ReadOnlyTable<&'static str, (u32, u64, u64)>,
}

impl View {
    /// The tables as they are now.
    pub(super) fn open(database: &Database, numbers: Numbers) -> Result<Self, redb::Error> {
        let read = database.begin_read()?;
        Ok(Self {
            numbers,
            entries: read.open_table(ENTRIES)?,
            blobs: read.open_table(BLOBS)?,
            buckets: read.open_table(BUCKETS)?,
        })
    }

    pub(super) fn get(&self, bucket: &BucketId, key: &str) -> Result<Option<Entry>, redb::Error> {
        let Some(&number) = self.numbers.get(bucket) else { return Ok(None) };
        let Some(found) = self.entries.get(Row::entry(number, key).as_bytes())? else { return Ok(None) };
        let record = decode(found.value())?;
        if record.expires != 0 && record.expired(clock::now()) {
            return Ok(None);
        }
        let value = match record.value {
            Value::Inline(value) => Bytes::copy_from_slice(value),
            Value::Blob(_) => match self.blobs.get(record.version)? {
                Some(blob) => Bytes::copy_from_slice(blob.value()),
                None => return Err(redb::Error::Corrupted(format!("bucket `{bucket}`: a value is missing"))),
            },
        };
        let expires = (record.expires != 0).then(|| clock::time(record.expires));
        Ok(Some(Entry { value, version: record.version, expires }))
    }

    pub(super) fn list(&self, bucket: &BucketId, range: &Range) -> Result<Page, redb::Error> {
        let mut page = Page::default();
        let Some(&number) = self.numbers.get(bucket) else { return Ok(page) };
        let now = clock::now();
        let first = Row::entry(number, &range.prefix);
        let after = range.after.as_deref().filter(|after| *after >= range.prefix.as_str());
        let after = after.map(|after| Row::entry(number, after));
        let begin = match &after {
            Some(after) => Bound::Excluded(after.as_bytes()),
            None => Bound::Included(first.as_bytes()),
        };
        for row in self.entries.range::<&[u8]>((begin, Bound::Unbounded))? {
            let (row, record) = row?;
            let key = key_of_entry(row.value(), number).filter(|key| key.starts_with(&range.prefix));
            let Some(key) = key else { break };
            if decode(record.value())?.expired(now) {
                continue;
            }
            if page.keys.len() == range.limit.max(1) {
                page.more = true;
                break;
            }
            page.keys.push(key.to_owned());
        }
        Ok(page)
    }

    pub(super) fn usage(&self) -> Result<Vec<BucketUsage>, redb::Error> {
        let mut usage = Vec::new();
        for (id, number) in &*self.numbers {
            let row = self.buckets.get(id.to_string().as_str())?.map(|row| row.value());
            if let Some((_, keys, bytes)) = row.filter(|(of, keys, _)| of == number && *keys > 0) {
                usage.push(BucketUsage { id: id.clone(), keys, bytes });
            }
        }
        usage.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(usage)
    }
}

fn decode(bytes: &[u8]) -> Result<Record<'_>, redb::Error> {
    Record::decode(bytes).ok_or_else(|| redb::Error::Corrupted("an entry".to_owned()))
}
