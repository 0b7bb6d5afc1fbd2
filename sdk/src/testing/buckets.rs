//! Buckets in a test's memory: they keep to the same rules as the platform's, and say the same when one is broken. They have the
//! defaults of the manifest: no `ttl`, so that nothing in them expires, and `max_bytes` of 64 MiB.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::guest::Fault;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// The largest value, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// What a bucket holds at most where the manifest does not say otherwise.
const MAX_BUCKET_BYTES: usize = 64 << 20;

/// Few, so that tests see several pages.
const KEYS_IN_A_PAGE: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Stored {
    values: BTreeMap<String, Value>,
    /// Goes up with every write, so that no two have the same.
    writes: u64,
    bytes: usize,
    #[cfg(test)]
    listing: Listing,
}

/// For the SDK's own tests: how often keys were listed, and whether it is done as on other hosts.
#[cfg(test)]
#[derive(Debug, Default)]
struct Listing {
    pages: u64,
    elsewhere: Option<Elsewhere>,
}

/// What other hosts do with a cursor that they have not given.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
enum Elsewhere {
    Refuse,
    Begin,
}

#[derive(Debug, Clone)]
struct Value {
    bytes: Vec<u8>,
    version: u64,
}

/// A bucket that is open. Clones are the same bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    name: Box<str>,
    stored: Arc<Mutex<Stored>>,
}

impl Bucket {
    pub(crate) fn new(name: &str, stored: Arc<Mutex<Stored>>) -> Self {
        Self { name: name.into(), stored }
    }

    pub(crate) fn open(name: &str) -> Result<Self, Fault> {
        super::bucket(name).ok_or(Fault::NotGranted)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        check(key, &[])?;
        Ok(self.lock().values.get(key).map(|value| value.bytes.clone()))
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, Fault> {
        check(key, &[])?;
        Ok(self.lock().values.contains_key(key))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        self.write(&mut self.lock(), key, value)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), Fault> {
        check(key, &[])?;
        let mut stored = self.lock();
        if let Some(value) = stored.values.remove(key) {
            stored.bytes -= key.len() + value.bytes.len();
        }
        Ok(())
    }

    pub(crate) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    pub(crate) fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), Fault> {
        values.iter().try_for_each(|(key, value)| self.set(key, value))
    }

    pub(crate) fn delete_many(&self, keys: &[String]) -> Result<(), Fault> {
        keys.iter().try_for_each(|key| self.delete(key))
    }

    pub(crate) fn increment(&self, key: &str, by: i64) -> Result<i64, Fault> {
        let mut stored = self.lock();
        let counted = match stored.values.get(key) {
            None => Some(by),
            Some(value) => {
                let number = std::str::from_utf8(&value.bytes).ok().and_then(|text| text.parse::<i64>().ok());
                number.and_then(|number| number.checked_add(by))
            }
        };
        let Some(counted) = counted else {
            return Err(Fault::Other(format!(
                "bucket `{}`: the value of `{key}` is not a whole number of 64 bits that can be counted on",
                self.name
            )));
        };
        self.write(&mut stored, key, counted.to_string().as_bytes())?;
        Ok(counted)
    }

    pub(crate) fn compare(&self, key: &str) -> Result<Compared, Fault> {
        check(key, &[])?;
        let found = self.lock().values.get(key).cloned();
        Ok(Compared { bucket: self.clone(), key: key.to_owned(), found })
    }

    pub(crate) fn list(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), Fault> {
        #[cfg(test)]
        let cursor = self.counted(cursor)?;
        let stored = self.lock();
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys: Vec<_> = stored
            .values
            .range((from, Bound::Unbounded))
            .take(KEYS_IN_A_PAGE + 1)
            .map(|(key, _)| key.clone())
            .collect();
        let more = keys.len() > KEYS_IN_A_PAGE;
        keys.truncate(KEYS_IN_A_PAGE);
        let cursor = keys.last().filter(|_| more).cloned();
        Ok((keys, cursor))
    }

    #[cfg(test)]
    fn counted(&self, cursor: Option<String>) -> Result<Option<String>, Fault> {
        let mut stored = self.lock();
        stored.listing.pages += 1;
        let is_given = cursor.as_ref().is_none_or(|cursor| stored.values.contains_key(cursor));
        match stored.listing.elsewhere {
            Some(Elsewhere::Refuse) if !is_given => Err(Fault::Other("unknown cursor".to_owned())),
            Some(Elsewhere::Begin) if !is_given => Ok(None),
            _ => Ok(cursor),
        }
    }

    /// How many pages were listed so far.
    #[cfg(test)]
    pub(crate) fn pages_listed(&self) -> u64 {
        self.lock().listing.pages
    }

    /// From now on a cursor that was not given is refused, or else passed over.
    #[cfg(test)]
    pub(crate) fn list_as_elsewhere(&self, refuses: bool) {
        self.lock().listing.elsewhere = Some(if refuses { Elsewhere::Refuse } else { Elsewhere::Begin });
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, stored: &mut Stored, key: &str, value: &[u8]) -> Result<(), Fault> {
        check(key, value)?;
        let old = stored.values.get(key).map_or(0, |old| key.len() + old.bytes.len());
        let (used, new) = (stored.bytes, key.len() + value.len());
        if new > old && used - old + new > MAX_BUCKET_BYTES {
            return Err(Fault::Other(format!(
                "bucket `{}`: full ({used} of {MAX_BUCKET_BYTES} bytes used, {} more wanted): delete something, or raise `max_bytes`",
                self.name,
                new - old
            )));
        }
        stored.bytes = used - old + new;
        stored.writes += 1;
        let value = Value { bytes: value.to_vec(), version: stored.writes };
        stored.values.insert(key.to_owned(), value);
        Ok(())
    }
}

fn check(key: &str, value: &[u8]) -> Result<(), Fault> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let reason = format!("a key of {} bytes: it must have 1 to {MAX_KEY_BYTES}", key.len());
        return Err(Fault::Other(reason));
    }
    if value.len() > MAX_VALUE_BYTES {
        let reason = format!("key `{key}`: a value of {} bytes, {MAX_VALUE_BYTES} at most", value.len());
        return Err(Fault::Other(reason));
    }
    Ok(())
}

/// What a key was, for a later swap.
#[derive(Debug)]
pub(crate) struct Compared {
    bucket: Bucket,
    key: String,
    found: Option<Value>,
}

impl Compared {
    pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.found.as_ref().map(|value| value.bytes.clone()))
    }

    /// None when it is done; else what the key is now.
    pub(crate) fn swap(self, value: &[u8]) -> Result<Option<Self>, Fault> {
        let mut stored = self.bucket.lock();
        let version = |value: Option<&Value>| value.map_or(0, |value| value.version);
        let now = stored.values.get(&self.key);
        if version(now) != version(self.found.as_ref()) {
            let found = now.cloned();
            drop(stored);
            return Ok(Some(Self { found, ..self }));
        }
        self.bucket.write(&mut stored, &self.key, value)?;
        Ok(None)
    }
}
