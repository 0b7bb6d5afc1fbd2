//! A bucket as a stream of JSON lines, out and in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde::Deserialize;

use samovar_cluster::key_value::{Entry, Range, Write};
use samovar_cluster::{KeyValue, KeyValueError};
use samovar_model::api::{ExportedValue, Imported, Problem as Document};
use samovar_model::{Bucket, Durability, Span};

use super::InBucket;
use crate::Control;
use crate::extract::Params;
use crate::problem::{Kind, Problem};

/// Values that are read at once: with the largest, this many MiB.
const AT_ONCE: usize = 32;

/// Writes that are under way at once.
const WRITES: usize = 64;

/// The longest line: a value of 1 MiB in which every byte is written `\u0000`, and its key.
const MAX_LINE_BYTES: usize = 8 << 20;

/// Which values.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Selection {
    /// Only keys that begin with this.
    #[serde(default)]
    prefix: String,
}

/// All values of a bucket in the order of their keys, one JSON object a line.
///
/// What is written meanwhile may be in it or not. When the store fails half-way, the answer breaks off rather than end.
#[utoipa::path(get, path = "/v1/kv/{bucket}/export", operation_id = "export_bucket", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`"), Selection),
    responses(
        (status = 200, description = "JSON lines", body = ExportedValue, content_type = "application/x-ndjson"),
        (status = 404, description = "no such bucket", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn export(
    State(control): State<Control>,
    InBucket(bucket): InBucket,
    Params(Selection { prefix }): Params<Selection>,
) -> Result<Response, Problem> {
    let store = Arc::clone(control.key_value()?);
    // A store that is away is told before the answer has begun.
    let bucket = control.bucket(bucket).await?;
    store.list(&bucket, Range { prefix: prefix.clone(), after: None, limit: 1 }).await?;
    let body = Body::from_stream(lines(store, bucket, prefix));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn lines(store: Arc<dyn KeyValue>, bucket: Bucket, prefix: String) -> impl Stream<Item = Result<Bytes, KeyValueError>> {
    let first = Some(None);
    stream::try_unfold(first, move |after: Option<Option<String>>| {
        let (store, bucket, prefix) = (Arc::clone(&store), bucket.clone(), prefix.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = store.list(&bucket, Range { prefix, after, limit: AT_ONCE }).await?;
            let entries = store.get_many(&bucket, &page.keys).await?;
            let mut piece = BytesMut::new();
            for (key, entry) in page.keys.iter().zip(entries) {
                // What was deleted in between is left out.
                if let Some(entry) = entry {
                    write_line(key, entry, &mut piece)?;
                }
            }
            let next = if page.more { page.keys.last().cloned().map(Some) } else { None };
            Ok(Some((piece.freeze(), next)))
        }
    })
}

fn write_line(key: &str, entry: Entry, into: &mut BytesMut) -> Result<(), KeyValueError> {
    let expires = entry.expires.and_then(|at| Timestamp::try_from(at).ok());
    let (text, base64) = match str::from_utf8(&entry.value) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(&entry.value))),
    };
    let line = ExportedValue { key: key.to_owned(), text, base64, expires };
    let broken = |error: serde_json::Error| KeyValueError::Unavailable(format!("key `{key}`: {error}"));
    serde_json::to_writer(into.writer(), &line).map_err(broken)?;
    into.put_u8(b'\n');
    Ok(())
}

/// Writes values from the lines of an export. A key that is there is written over.
///
/// A value keeps its time to go, if it has one, and gets the bucket's time to live otherwise. When a line cannot be taken, the
/// import ends there; what came before it has been written.
#[utoipa::path(post, path = "/v1/kv/{bucket}/import", operation_id = "import_bucket", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`")),
    request_body(content = ExportedValue, content_type = "application/x-ndjson", description = "JSON lines"),
    responses(
        (status = 200, body = Imported),
        (status = 400, description = "a line that cannot be taken, with its number", body = Document,
            content_type = "application/problem+json"),
        (status = 404, description = "no function is granted the bucket", body = Document,
            content_type = "application/problem+json"),
        (status = 507, description = "the bucket is full", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn import(
    State(control): State<Control>,
    InBucket(bucket): InBucket,
    body: Body,
) -> Result<axum::Json<Imported>, Problem> {
    let bucket = Bucket { durability: Durability::Batched, ..control.writable(&bucket)? };
    let mut import =
        Import { store: Arc::clone(control.key_value()?), bucket, imported: Imported { values: 0, expired: 0 } };
    let outcome = import.run(body).await;
    tracing::info!(bucket = %import.bucket.id, values = import.imported.values, "imported");
    match outcome {
        Ok(()) => Ok(axum::Json(import.imported)),
        Err(problem) => Err(problem.after(&format!("values imported before: {}", import.imported.values))),
    }
}

struct Import {
    store: Arc<dyn KeyValue>,
    bucket: Bucket,
    imported: Imported,
}

impl Import {
    async fn run(&mut self, body: Body) -> Result<(), Problem> {
        let mut lines = Lines { body, buffer: BytesMut::new(), number: 0 };
        let mut writes = FuturesUnordered::new();
        let outcome = loop {
            if writes.len() == WRITES
                && let Some(written) = writes.next().await
            {
                let written: Result<(), Problem> = written;
                match written {
                    Ok(()) => self.imported.values += 1,
                    Err(problem) => break Err(problem),
                }
            }
            match lines.next().await.and_then(|line| line.map(|line| self.write(&line, lines.number)).transpose()) {
                Ok(Some(Some(write))) => writes.push(write),
                Ok(Some(None)) => self.imported.expired += 1,
                Ok(None) => break Ok(()),
                Err(problem) => break Err(problem),
            }
        };
        // Whatever the outcome: what is under way is counted.
        let mut outcome = outcome;
        while let Some(written) = writes.next().await {
            match written {
                Ok(()) => self.imported.values += 1,
                Err(problem) => outcome = outcome.and(Err(problem)),
            }
        }
        outcome
    }

    /// The write that a line asks for; none when its value is past its time.
    fn write(
        &self,
        line: &[u8],
        number: u64,
    ) -> Result<Option<impl Future<Output = Result<(), Problem>> + use<>>, Problem> {
        let bad = |why: String| Problem::new(Kind::BadRequest, format!("line {number}: {why}"));
        let line: ExportedValue = serde_json::from_slice(line).map_err(|error| bad(error.to_string()))?;
        let value = match (line.text, line.base64) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(text)) => {
                BASE64.decode(text).map(Bytes::from).map_err(|error| bad(format!("base64: {error}")))?
            }
            _ => return Err(bad("it must have either `text` or `base64`".to_owned())),
        };
        let mut bucket = self.bucket.clone();
        if let Some(expires) = line.expires {
            let left = Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default();
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            if left == 0 {
                return Ok(None);
            }
            bucket.ttl = Some(Span::millis(left));
        }
        let store = Arc::clone(&self.store);
        Ok(Some(async move {
            let write = Write { key: line.key, value: Some(value) };
            store.write(&bucket, vec![write]).await.map_err(|error| Problem::from(error).at(&format!("line {number}")))
        }))
    }
}

/// The lines of a body that are not empty.
struct Lines {
    body: Body,
    buffer: BytesMut,
    number: u64,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(searched + end + 1).freeze();
                self.number += 1;
                searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            searched = self.buffer.len();
            if searched > MAX_LINE_BYTES {
                let words = format!("line {}: longer than {MAX_LINE_BYTES} bytes", self.number + 1);
                return Err(Problem::new(Kind::BadRequest, words));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().iter().flatten()),
                Some(Err(error)) => {
                    let error = io::Error::other(error);
                    return Err(Problem::new(Kind::BadRequest, format!("the body broke off: {error}")));
                }
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                // The last line may end without a line feed.
                None => self.buffer.put_u8(b'\n'),
            }
        }
    }
}
