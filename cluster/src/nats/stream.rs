//! One stream, and what is asked of it: the newest message of a subject, and to store several at once in an atomic batch.
//!
//! All reads are answered by the stream's leader, so that they show every write that was acknowledged before they were asked for.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::header::{NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{HeaderMap, RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::Nats;
use super::buckets::Bucket;
use super::entry::Entry;

/// How long a read is tried altogether.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The same while there is no connection at all: long enough to change to another server.
const PATIENCE_AWAY: Duration = Duration::from_secs(1);
/// The pause before something that failed is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// How many bytes of a batch are sent within the time that one answer may take; more may take longer.
const BYTES_PER_ANSWER: usize = 4 << 20;

/// A stream of this process's cluster.
#[derive(Clone)]
pub(super) struct Messages {
    pub(super) nats: Nats,
    /// Its name.
    stream: String,
}

/// A message that is to be stored.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Why messages were not stored, as far as that is known.
#[derive(Debug, Clone)]
pub(super) enum NotStored {
    /// A condition did not hold, or may not.
    Conflict,
    /// For another reason, which may pass.
    Refused(String),
    /// There was no answer: they may be stored, now or later.
    Open(String),
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    error: Option<jetstream::Error>,
}

/// A name that no other commit or batch has.
pub(super) fn new_name() -> Result<String, String> {
    Entry::new_operation().map_err(|error| error.to_string())
}

impl Messages {
    pub(super) fn of(nats: &Nats, bucket: &Bucket) -> Self {
        Self { nats: nats.clone(), stream: bucket.stream.clone() }
    }

    pub(super) async fn stream(&self) -> Result<Stream<()>, String> {
        self.nats.jetstream().get_stream_no_info(&self.stream).await.map_err(|error| error.to_string())
    }

    /// Waits for a connection that can be used; not for long, where there is none.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE_AWAY;
        loop {
            let error = match timeout_at(end + PATIENCE, self.nats.ready()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "NATS does not answer".to_owned(),
            };
            if Instant::now() >= end {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    /// The newest message of a subject; asked for again while there is no answer.
    pub(super) async fn newest(&self, subject: &str) -> Result<Option<StreamMessage>, String> {
        self.ready().await?;
        let (stream, end) = (self.stream().await?, Instant::now() + PATIENCE);
        loop {
            let error = match timeout_at(end, stream.get_last_raw_message_by_subject(subject)).await {
                Ok(Ok(message)) => return Ok(Some(message)),
                Ok(Err(error)) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer from NATS in time".to_owned(),
            };
            if Instant::now() + PAUSE >= end {
                return Err(error);
            }
            sleep(PAUSE).await;
            self.ready().await?;
        }
    }

    /// Stores all parts, or none: where the conditions in their headers do not hold, for one. Answers the last one's place in the
    /// stream; the others are right before it, in their order.
    pub(super) async fn publish(&self, parts: Vec<Part>) -> Result<u64, NotStored> {
        let (count, bytes) = (parts.len(), parts.iter().map(|part| part.payload.len()).sum::<usize>());
        let batch = if count > 1 { Some(new_name().map_err(NotStored::Refused)?) } else { None };
        let patience = self.nats.config().answer_timeout.mul_f64(1.0 + bytes as f64 / BYTES_PER_ANSWER as f64);
        let client = self.nats.client();
        for (index, part) in parts.into_iter().enumerate() {
            let Part { subject, mut headers, payload } = part;
            if let Some(batch) = &batch {
                headers.insert(NATS_BATCH_ID, batch.as_str());
                headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string().as_str());
            }
            if index + 1 < count {
                let sent = client.publish_with_headers(subject, headers, payload).await;
                sent.map_err(|error| NotStored::Refused(error.to_string()))?;
                continue;
            }
            if batch.is_some() {
                headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            }
            let request = Request::new().headers(headers).payload(payload).timeout(Some(patience));
            let answer = client.send_request(subject, request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => NotStored::Refused(format!("stream {} has no leader", self.stream)),
                RequestErrorKind::TimedOut | RequestErrorKind::Other => NotStored::Open(error.to_string()),
                _ => NotStored::Refused(error.to_string()),
            })?;
            return acknowledged(&answer.payload);
        }
        Err(NotStored::Refused("a batch of nothing".to_owned()))
    }
}

fn acknowledged(answer: &[u8]) -> Result<u64, NotStored> {
    let answer: Acknowledgement =
        serde_json::from_slice(answer).map_err(|error| NotStored::Open(format!("an answer without sense: {error}")))?;
    match answer.error {
        None => Ok(answer.seq),
        Some(error)
            if [ErrorCode::STREAM_WRONG_LAST_SEQUENCE, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT]
                .contains(&error.error_code()) =>
        {
            Err(NotStored::Conflict)
        }
        Some(error) => Err(NotStored::Refused(error.to_string())),
    }
}
