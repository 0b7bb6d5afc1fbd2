//! The stream itself: what is asked of it, and how an atomic batch is stored.
//!
//! All reads are answered by the stream's leader, so that they show every write that was acknowledged before they were asked for.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{HeaderMap, RequestErrorKind};
use bytes::{Bytes, BytesMut};
use samovar_model::BucketId;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::ledger::{Ledger, Seen};
use super::subjects::Subjects;
use super::value::Value;
use crate::KeyValueError;
use crate::nats::Nats;

/// How long a read, or a round of writes, is tried altogether.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The same while there is no connection at all: long enough to change to another server.
const PATIENCE_AWAY: Duration = Duration::from_secs(1);
/// The pause before something that failed is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// What subject and headers take of a message, at most.
const OVERHEAD: usize = 2048;

/// The store of all buckets.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) nats: Nats,
    pub(super) subjects: Subjects,
}

/// A message of a batch.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Why a batch was not stored, as far as that is known.
#[derive(Debug)]
pub(super) enum NotStored {
    /// The condition did not hold, or may not.
    Conflict,
    /// For another reason, which may pass.
    Refused(String),
    /// There was no answer: it may be stored, now or later.
    Open(String),
}

#[derive(Deserialize)]
struct Acknowledgement {
    seq: u64,
    #[serde(default)]
    error: Option<jetstream::Error>,
}

pub(super) fn unavailable(error: impl ToString) -> KeyValueError {
    KeyValueError::Unavailable(error.to_string())
}

/// A name that no other commit or batch has.
pub(super) fn new_name() -> Result<String, KeyValueError> {
    crate::nats::entry::Entry::new_operation().map_err(unavailable)
}

impl Store {
    pub(super) fn new(nats: &Nats) -> Self {
        let subjects = Subjects::of(&nats.buckets().values.name);
        Self { nats: nats.clone(), subjects }
    }

    pub(super) async fn stream(&self) -> Result<Stream<()>, KeyValueError> {
        self.nats.jetstream().get_stream_no_info(&self.nats.buckets().values.stream).await.map_err(unavailable)
    }

    /// How many bytes of a value one message takes.
    pub(super) fn longest_part(&self) -> usize {
        self.nats.client().max_payload().saturating_sub(OVERHEAD)
    }

    /// Waits for a connection that can be used; not for long, where there is none.
    pub(super) async fn ready(&self) -> Result<(), KeyValueError> {
        let end = Instant::now() + PATIENCE_AWAY;
        loop {
            let error = match timeout_at(end + PATIENCE, self.nats.ready()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "NATS does not answer".to_owned(),
            };
            if Instant::now() >= end {
                return Err(unavailable(error));
            }
            sleep(PAUSE).await;
        }
    }

    /// The newest message of a subject; asked for again while there is no answer.
    pub(super) async fn newest(&self, subject: &str) -> Result<Option<StreamMessage>, KeyValueError> {
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
                return Err(unavailable(error));
            }
            sleep(PAUSE).await;
            self.ready().await?;
        }
    }

    pub(super) async fn ledger(&self, bucket: &BucketId) -> Result<Seen, KeyValueError> {
        let Some(message) = self.newest(&self.subjects.ledger(bucket)).await? else { return Ok(Seen::default()) };
        let ledger: Ledger = serde_json::from_slice(&message.payload)
            .map_err(|error| unavailable(format!("the ledger of bucket `{bucket}` cannot be read: {error}")))?;
        Ok(Seen { ledger, sequence: message.sequence })
    }

    pub(super) async fn value(&self, bucket: &BucketId, key: &str) -> Result<Option<Value>, KeyValueError> {
        Ok(self.newest(&self.subjects.value(bucket, key)).await?.and_then(Value::read))
    }

    /// All of a value; none where it has been replaced since it was read.
    pub(super) async fn whole(&self, value: &Value) -> Result<Option<Bytes>, KeyValueError> {
        if value.rest == 0 {
            return Ok(Some(value.payload.clone()));
        }
        let rest = match self.stream().await?.get_raw_message(value.sequence - 1).await {
            Ok(rest) => rest.payload,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        let mut whole = BytesMut::with_capacity(value.payload.len() + rest.len());
        whole.extend_from_slice(&value.payload);
        whole.extend_from_slice(&rest);
        Ok((rest.len() == value.rest).then(|| whole.freeze()))
    }

    /// Stores all parts, or none: they are only stored if the last one's subject was last written at `expected`. Answers the last
    /// one's place in the stream; the others are right before it, in their order.
    pub(super) async fn publish(&self, parts: Vec<Part>, expected: u64) -> Result<u64, NotStored> {
        let (batch, count) = (new_name().map_err(|error| NotStored::Refused(error.to_string()))?, parts.len());
        let client = self.nats.client();
        for (index, part) in parts.into_iter().enumerate() {
            let Part { subject, mut headers, payload } = part;
            headers.insert(NATS_BATCH_ID, batch.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string().as_str());
            if index + 1 < count {
                let sent = client.publish_with_headers(subject, headers, payload).await;
                sent.map_err(|error| NotStored::Refused(error.to_string()))?;
                continue;
            }
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
            let request =
                Request::new().headers(headers).payload(payload).timeout(Some(self.nats.config().answer_timeout));
            let answer = client.send_request(subject, request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => NotStored::Refused("the stream of values has no leader".to_owned()),
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
