//! The record of an artifact in the object store: what makes an upload visible, and what a deploy claims.
//!
//! A record is written once by the upload that made the chunks it names, and then again as it is by everyone who is about to
//! refer to it: that makes it young, and gives it another sequence, so that no collection that looked before can remove it.
//! A record whose chunks are not all there, or whose bytes have another digest, counts as none: an upload replaces it.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::object_store::ObjectInfo;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use futures_util::TryStreamExt as _;

use samovar_model::Digest;

use super::connection::is_conflict;
use super::{Nats, NatsError};

/// How often a claim is tried again that another process's claim, upload or collection got in the way of.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

fn store(error: impl std::fmt::Display) -> NatsError {
    NatsError::Store(error.to_string())
}

/// When the server stored a message, by its clock.
pub(super) fn stored_at(message: &StreamMessage) -> SystemTime {
    message.time.into()
}

/// The stream of the object store.
pub(super) async fn stream(nats: &Nats) -> Result<Stream<()>, NatsError> {
    nats.ready().await?;
    nats.jetstream().get_stream_no_info(&nats.buckets().artifacts.stream).await.map_err(store)
}

/// The newest message of a subject, by the word of the stream's leader.
pub(super) async fn newest(stream: &Stream<()>, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(store(error)),
    }
}

/// The record of an artifact, if there is one.
pub(super) async fn read(nats: &Nats, digest: &Digest) -> Result<Option<StreamMessage>, NatsError> {
    newest(&stream(nats).await?, &nats.buckets().artifacts.record(&digest.to_string())).await
}

/// Makes sure that an artifact is there, and that every collection which began before this leaves it alone; so does every
/// later one for the time of [`NatsConfig::garbage_age`](super::NatsConfig::garbage_age). False when it is not there, or
/// not whole.
pub(super) async fn claim(nats: &Nats, digest: &Digest) -> Result<bool, NatsError> {
    for _ in 0..ATTEMPTS {
        let Some(record) = read(nats, digest).await? else { return Ok(false) };
        if !is_whole(nats, digest, &record).await? {
            return Ok(false);
        }
        if renew(nats, &record).await? {
            return Ok(true);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(store(format!("other processes upload or remove artifact {digest} all the time")))
}

/// Whether the bytes that the record speaks of have the right digest, and all their chunks are there.
async fn is_whole(nats: &Nats, digest: &Digest, record: &StreamMessage) -> Result<bool, NatsError> {
    let Ok(info) = serde_json::from_slice::<ObjectInfo>(&record.payload) else { return Ok(false) };
    let bytes = hex::decode(digest.to_string()).map_err(store)?;
    if info.digest != Some(format!("SHA-256={}", URL_SAFE.encode(bytes))) {
        return Ok(false);
    }
    let chunks = nats.buckets().artifacts.chunks(&info.nuid);
    let there = stream(nats).await?.info_with_subjects(chunks).await.map_err(store)?;
    let there: usize = there
        .map_ok(|(_, count)| count)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await
        .map_err(store)?;
    Ok(there == info.chunks)
}

/// Writes a record again as it is; false when it has changed meanwhile.
async fn renew(nats: &Nats, record: &StreamMessage) -> Result<bool, NatsError> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_ROLLUP, "sub");
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, record.sequence.to_string().as_str());
    let sent = nats.jetstream().publish_with_headers(record.subject.clone(), headers, record.payload.clone()).await;
    match sent.map_err(store)?.await {
        Ok(_) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(store(error)),
    }
}
