//! What is asked of the stream for buckets: ledgers, values, and batches that end with a ledger.

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use bytes::{Bytes, BytesMut};
use samovar_model::BucketId;

use super::ledger::{Ledger, Seen};
use super::subjects::Subjects;
use super::value::Value;
use crate::KeyValueError;
use crate::nats::Nats;
use crate::nats::stream::{Messages, NotStored, Part};

pub(super) use crate::nats::stream::{PATIENCE, PAUSE};

/// What subject and headers take of a message, at most.
const OVERHEAD: usize = 2048;

/// The store of all buckets.
#[derive(Clone)]
pub(super) struct Store {
    messages: Messages,
    pub(super) subjects: Subjects,
}

pub(super) fn unavailable(error: impl ToString) -> KeyValueError {
    KeyValueError::Unavailable(error.to_string())
}

impl Store {
    pub(super) fn new(nats: &Nats) -> Self {
        let values = &nats.buckets().values;
        Self { messages: Messages::of(nats, values), subjects: Subjects::of(&values.name) }
    }

    /// Whether there is a connection that can be used now.
    pub(super) async fn is_ready(&self) -> bool {
        self.messages.nats.ready().await.is_ok()
    }

    pub(super) async fn stream(&self) -> Result<Stream<()>, KeyValueError> {
        self.messages.stream().await.map_err(unavailable)
    }

    /// How many bytes of a value one message takes.
    pub(super) fn longest_part(&self) -> usize {
        self.messages.nats.client().max_payload().saturating_sub(OVERHEAD)
    }

    /// Waits for a connection that can be used; not for long, where there is none.
    pub(super) async fn ready(&self) -> Result<(), KeyValueError> {
        self.messages.ready().await.map_err(unavailable)
    }

    async fn newest(&self, subject: &str) -> Result<Option<StreamMessage>, KeyValueError> {
        self.messages.newest(subject).await.map_err(unavailable)
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
    pub(super) async fn publish(&self, mut parts: Vec<Part>, expected: u64) -> Result<u64, NotStored> {
        if let Some(last) = parts.last_mut() {
            last.headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
        }
        self.messages.publish(parts).await
    }
}
