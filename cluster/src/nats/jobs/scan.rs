//! Reading all messages of some subjects, as they were when this began or later.
//!
//! Which server sends them is not for this process to choose, and one of several may be behind. So a fence is stored first, among
//! the same subjects: whoever has read up to there has read all that was stored before.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::store::{Store, unavailable};
use super::stored::{self, is_gone};
use super::subjects::Range;
use crate::JobsError;
use crate::nats::stream::{NotStored, PATIENCE, Part};

/// How long a fence is kept.
const FENCE_KEPT: Duration = Duration::from_secs(5);

/// A message that was read.
pub(super) struct Read<'a> {
    pub(super) subject: &'a str,
    pub(super) sequence: u64,
    pub(super) headers: &'a HeaderMap,
    /// Empty where only heads are read.
    pub(super) payload: &'a Bytes,
    /// When the server stored it.
    pub(super) stored: std::time::SystemTime,
}

/// Whether contents are read as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Heads,
    Whole,
}

/// Shows every message of these subjects, those left out that say that something is gone.
pub(super) async fn scan(
    store: &Store,
    range: &Range,
    depth: Depth,
    mut show: impl FnMut(Read<'_>),
) -> Result<(), JobsError> {
    let end = raise(store, range).await?;
    let stream = store.messages.stream().await.map_err(unavailable)?;
    let config = OrderedConfig {
        deliver_subject: store.messages.nats.client().new_inbox(),
        filter_subject: range.filter.clone(),
        deliver_policy: DeliverPolicy::All,
        headers_only: depth == Depth::Heads,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
    let name = consumer.cached_info().name.clone();
    let mut messages = consumer.messages().await.map_err(unavailable)?;
    loop {
        let message = timeout(PATIENCE, messages.next()).await.map_err(|_| silent())?;
        let message = message.ok_or_else(silent)?.map_err(unavailable)?;
        let info = message.info().map_err(unavailable)?;
        let (sequence, stored) = (info.stream_sequence, info.published.into());
        let (subject, payload) = (message.subject.as_str(), &message.payload);
        let headers = message.headers.as_ref().filter(|headers| !is_gone(headers));
        if let Some(headers) = headers.filter(|_| subject != range.fence) {
            show(Read { subject, sequence, headers, payload, stored });
        }
        if sequence >= end {
            break;
        }
    }
    tokio::spawn(async move { drop(stream.delete_consumer(&name).await) });
    Ok(())
}

/// Stores the fence. Answers its sequence.
async fn raise(store: &Store, range: &Range) -> Result<u64, JobsError> {
    store.messages.ready().await.map_err(unavailable)?;
    let mut headers = HeaderMap::new();
    stored::expire(&mut headers, FENCE_KEPT);
    let part = Part { subject: range.fence.clone(), headers, payload: Bytes::new() };
    store.messages.publish(vec![part]).await.map_err(|error| match error {
        NotStored::Conflict => unavailable("a fence met with a conflict"),
        NotStored::Refused(reason) | NotStored::Open(reason) => unavailable(reason),
    })
}

fn silent() -> JobsError {
    unavailable("NATS does not send what it has")
}
