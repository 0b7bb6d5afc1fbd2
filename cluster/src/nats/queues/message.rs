//! A message of a stream, as functions see it.

use async_nats::jetstream::message::Info;
use async_nats::{HeaderMap, jetstream};
use jiff::Timestamp;

use super::lease::Lease;
use super::unavailable;
use crate::nats::Nats;
use crate::queues::{Delivered, Message, QueueError};

/// The header by which a publisher names a message, so that the stream keeps it once.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// What kind of event a message is whose publisher does not say.
const KIND: &str = "io.nats.message";

/// What was received, with the right to work on it.
pub(super) fn delivered(nats: &Nats, received: jetstream::Message) -> Result<Delivered, QueueError> {
    let info = received.info().map_err(unavailable)?;
    let place = place(&info);
    let attempt = u32::try_from(info.delivered).unwrap_or(u32::MAX).max(1);
    let (source, pending) = (format!("/nats/{}", info.stream), info.pending);
    let time = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).map_err(unavailable)?;
    let jetstream::Message { message, .. } = received;
    let headers = message.headers.unwrap_or_default();
    let id = headers.get(MESSAGE_ID).map_or_else(|| place.clone(), |id| id.as_str().to_owned());
    let reply = message.reply.ok_or_else(|| unavailable("a message without a subject for its acknowledgement"))?;
    let (headers, subject) = (texts(&headers), message.subject.to_string());
    let message = Message { subject, id, source, kind: KIND, time, headers, data: message.payload };
    let lease = Box::new(Lease { nats: nats.clone(), reply, place: place.clone() });
    Ok(Delivered { message, place, attempt, pending, lease })
}

/// Where a message is kept: stream and sequence.
fn place(info: &Info<'_>) -> String {
    format!("{}:{}", info.stream, info.stream_sequence)
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let of_one = |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
        let name = name.to_string();
        values.iter().map(|value| (name.clone(), value.as_str().to_owned())).collect::<Vec<_>>()
    };
    headers.iter().flat_map(of_one).collect()
}
