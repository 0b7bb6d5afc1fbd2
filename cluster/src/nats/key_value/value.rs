//! The message that stands for a key: its value, or that it was deleted.
//!
//! A value that does not fit into one message is cut: the rest is the message before, of the same batch. One that is past its
//! time counts as none, and stays until it is swept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, NATS_MESSAGE_TTL};
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;

/// When the value is past its time, in milliseconds since 1970.
const EXPIRES: HeaderName = HeaderName::from_static("Samovar-Expires");
/// How many bytes of the value are in the message before.
const REST: HeaderName = HeaderName::from_static("Samovar-Rest");
/// What the tools of NATS know a deleted key by.
const OPERATION: HeaderName = HeaderName::from_static("KV-Operation");
const DELETED: &str = "DEL";
/// How long the server keeps the message that says of a key that it was deleted: long after a write that was decided before
/// can have arrived.
const DELETED_FOR: &str = "1h";

/// A value that is stored.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// The message's place in the stream: the key's version.
    pub(super) sequence: u64,
    /// What of it is in the message.
    pub(super) payload: Bytes,
    /// How many bytes of it are in the message before.
    pub(super) rest: usize,
    pub(super) expires: Option<u64>,
}

impl Value {
    /// What a message holds; nothing where it says that the key was deleted.
    pub(super) fn read(message: StreamMessage) -> Option<Self> {
        let StreamMessage { headers, sequence, payload, .. } = message;
        if is_deleted(&headers) {
            return None;
        }
        let rest = number(&headers, &REST).and_then(|rest| usize::try_from(rest).ok()).unwrap_or(0);
        Some(Self { sequence, payload, rest, expires: expires(&headers) })
    }

    pub(super) fn size(&self) -> u64 {
        (self.payload.len() + self.rest) as u64
    }

    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        self.expires.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_millis(at)))
    }

    pub(super) fn is_past(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The headers of a value's message.
pub(super) fn headers(expires: Option<u64>, rest: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(expires) = expires {
        headers.insert(EXPIRES, expires.to_string().as_str());
    }
    if rest > 0 {
        headers.insert(REST, rest.to_string().as_str());
    }
    headers
}

/// The headers of the message that says that a key was deleted.
pub(super) fn deleted() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, DELETED);
    headers.insert(NATS_MESSAGE_TTL, DELETED_FOR);
    headers
}

pub(super) fn is_deleted(headers: &HeaderMap) -> bool {
    headers.get(OPERATION).is_some_and(|operation| operation.as_str() == DELETED)
}

pub(super) fn expires(headers: &HeaderMap) -> Option<u64> {
    number(headers, &EXPIRES)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name.clone()).and_then(|value| value.as_str().parse().ok())
}

/// Milliseconds since 1970, by this machine's clock.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Part of a second, in nanoseconds: as good as random for a pause.
pub(super) fn now_nanos() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos()
}
