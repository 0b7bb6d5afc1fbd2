//! [`KeyValue`] in Redis.
//!
//! A value is a Redis key of its own, which Redis forgets when its time is over; reading it is one `GET`. What changes anything is
//! a script, so that the value, the bucket's order of keys and its accounts change together, and nobody comes between.

use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{FromRedisValue, ScriptInvocation, cmd};
use samovar_model::{Bucket, BucketId};

use super::connection::Connection;
use super::scripts::Scripts;
use super::{RedisConfig, RedisConfigError};
use crate::key_value::{BucketUsage, Entry, KeyValue, KeyValueError, Page, Range, Swapped, Write};

/// What one script is given at most, so that it does not hold up others for long.
const WRITES_AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 4 << 20;
/// How many keys are deleted at once when a bucket is cleared.
const CLEARED_AT_ONCE: u64 = 1000;

/// What functions keep, in Redis.
pub struct RedisKeyValue {
    connection: Connection,
    scripts: Scripts,
}

impl RedisKeyValue {
    /// Connects; where the server cannot be reached, goes on without, and tries again with each use.
    ///
    /// # Errors
    /// Where the address makes no sense, or the server does not let this process in.
    pub async fn open(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        Ok(Self { connection: Connection::open(config).await?, scripts: Scripts::new(&config.namespace) })
    }

    /// What a script that writes answers: its word, and what comes with it.
    async fn run(&self, bucket: &Bucket, call: &ScriptInvocation<'_>) -> Result<(String, Vec<String>), KeyValueError> {
        let mut answer: Vec<String> = self.connection.write(call).await?;
        let word = if answer.is_empty() { String::new() } else { answer.remove(0) };
        if word != "full" {
            return Ok((word, answer));
        }
        let number = |at: usize| answer.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
        let (bucket, limit) = (bucket.id.clone(), bucket.max_bytes.as_bytes());
        Err(KeyValueError::Full { bucket, used: number(0), limit, more: number(1) })
    }

    async fn usage(&self, id: BucketId) -> Result<BucketUsage, KeyValueError> {
        let call = self.scripts.on(&self.scripts.usage, &id);
        let (keys, bytes): (u64, u64) = self.connection.read(&call).await?;
        Ok(BucketUsage { id, keys, bytes })
    }
}

/// A value as the scripts store it: its version, when it goes, and itself, with a space between.
struct Stored(Entry);

impl Stored {
    fn read(bytes: Bytes) -> Option<Entry> {
        let end = |from: usize| bytes[from..].iter().position(|byte| *byte == b' ').map(|at| from + at);
        let number = |part: &[u8]| std::str::from_utf8(part).ok()?.parse::<u64>().ok();
        let first = end(0)?;
        let second = end(first + 1)?;
        let (version, expires) = (number(&bytes[..first])?, number(&bytes[first + 1..second])?);
        let expires = (expires > 0).then(|| UNIX_EPOCH + Duration::from_millis(expires));
        Some(Entry { value: bytes.slice(second + 1..), version, expires })
    }
}

impl FromRedisValue for Stored {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        let bytes = Vec::<u8>::from_redis_value(value)?;
        Self::read(bytes.into()).map(Self).ok_or_else(|| "a value that Samovar has not written".to_owned().into())
    }
}

#[async_trait]
impl KeyValue for RedisKeyValue {
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KeyValueError> {
        let found: Option<Stored> = self.connection.ask(cmd("GET").arg(self.scripts.value(&bucket.id, key))).await?;
        Ok(found.map(|stored| stored.0))
    }

    async fn get_many(&self, bucket: &Bucket, keys: &[String]) -> Result<Vec<Option<Entry>>, KeyValueError> {
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(WRITES_AT_ONCE) {
            let mut command = cmd("MGET");
            for key in keys {
                command.arg(self.scripts.value(&bucket.id, key));
            }
            let found: Vec<Option<Stored>> = self.connection.ask(&command).await?;
            entries.extend(found.into_iter().map(|found| found.map(|stored| stored.0)));
        }
        Ok(entries)
    }

    async fn write(&self, bucket: &Bucket, writes: Vec<Write>) -> Result<(), KeyValueError> {
        let mut rest = writes.into_iter().peekable();
        while rest.peek().is_some() {
            let mut call = self.scripts.under(&self.scripts.write, bucket);
            let (mut count, mut bytes) = (0, 0);
            while let Some(Write { key, value }) = rest.next_if(|_| count < WRITES_AT_ONCE && bytes < BYTES_AT_ONCE) {
                (count, bytes) = (count + 1, bytes + value.as_ref().map_or(0, Bytes::len));
                call.arg(if value.is_some() { "set" } else { "delete" })
                    .arg(key)
                    .arg(value.as_deref().unwrap_or_default());
            }
            self.run(bucket, &call).await?;
        }
        Ok(())
    }

    async fn swap(&self, bucket: &Bucket, key: &str, version: u64, value: Bytes) -> Result<Swapped, KeyValueError> {
        let mut call = self.scripts.under(&self.scripts.swap, bucket);
        call.arg(key).arg(version.to_string()).arg(value.as_ref());
        let (word, _) = self.run(bucket, &call).await?;
        Ok(if word == "outdated" { Swapped::Outdated } else { Swapped::Done })
    }

    async fn increment(&self, bucket: &Bucket, key: &str, by: i64) -> Result<i64, KeyValueError> {
        let mut call = self.scripts.under(&self.scripts.increment, bucket);
        call.arg(key).arg(by.to_string());
        let (_, answer) = self.run(bucket, &call).await?;
        let sum = answer.first().and_then(|sum| sum.parse().ok());
        sum.ok_or_else(|| KeyValueError::NotANumber { bucket: bucket.id.clone(), key: key.to_owned() })
    }

    async fn list(&self, bucket: &Bucket, range: Range) -> Result<Page, KeyValueError> {
        let Range { prefix, after, limit } = range;
        let limit = limit.max(1);
        // No text has this byte, so this is behind everything with the prefix.
        let end = [b"(".as_slice(), prefix.as_bytes(), b"\xff"].concat();
        let mut from = match after {
            Some(after) if after >= prefix => format!("({after}"),
            _ => format!("[{prefix}"),
        };
        let mut keys = Vec::new();
        loop {
            let mut call = self.scripts.on(&self.scripts.list, &bucket.id);
            let wanted = limit + 1 - keys.len();
            call.arg(&from).arg(&end).arg(wanted);
            let (looked_at, last, live): (usize, String, Vec<String>) = self.connection.read(&call).await?;
            keys.extend(live);
            if looked_at < wanted || keys.len() > limit {
                break;
            }
            from = format!("({last}");
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        Ok(Page { keys, more })
    }

    async fn buckets(&self) -> Result<Vec<BucketUsage>, KeyValueError> {
        let names: Vec<String> = self.connection.ask(cmd("SMEMBERS").arg(self.scripts.buckets())).await?;
        let mut all = Vec::new();
        for id in names.iter().filter_map(|name| name.parse().ok()) {
            all.push(self.usage(id).await?);
        }
        all.retain(|usage| usage.keys > 0);
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    async fn clear(&self, bucket: &BucketId) -> Result<(), KeyValueError> {
        loop {
            let mut call = self.scripts.on(&self.scripts.clear, bucket);
            call.arg(CLEARED_AT_ONCE);
            let cleared: u64 = self.connection.read(&call).await?;
            if cleared < CLEARED_AT_ONCE {
                return Ok(());
            }
        }
    }
}
