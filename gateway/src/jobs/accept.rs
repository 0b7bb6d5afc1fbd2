//! Takes a request whose caller does not wait: reads all of it, stores it, and answers 202 once it is on disk.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use samovar_cluster::jobs::{IdempotencyKey, NewJob, StoredRequest, Submitted};
use samovar_model::{ByteSize, Fault, JobId, Settings};
use tokio::sync::SemaphorePermit;

use super::{Desk, MAX_REQUEST_BYTES, PATH, prefer};
use crate::problem::{JobRefusal, Problem};
use crate::targets::Callee;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Says that the job was stored by an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest idempotency key.
const MAX_KEY_BYTES: usize = 255;

impl Desk {
    /// Stores a request.
    ///
    /// # Cancel safety
    /// A caller who goes away before the answer cannot know whether the request was stored.
    pub(crate) async fn accept(
        &self,
        callee: Arc<Callee>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let settings = &callee.revision.settings;
        let (mut head, body) = request.into_parts();
        let key = head.headers.get(&IDEMPOTENCY_KEY).map(idempotency_key).transpose()?;
        let reading = self.receive(body, settings);
        let limit = settings.limits.timeout.as_duration();
        let received = tokio::time::timeout(limit, reading).await.map_err(|_| JobRefusal::BodySlow(limit))?;
        // The memory is held until the request is stored.
        let (body, _room) = received?;
        if let Some(authority) = head.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            head.headers.insert(header::HOST, host);
        }
        make_plain(&mut head.headers, &body);
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let request = StoredRequest { method: head.method, target, headers: head.headers, body };
        let job = NewJob {
            function: callee.function.clone(),
            key: key.map(|key| IdempotencyKey::new(key, &request)),
            request,
            settings: settings.jobs.clone(),
            tick: None,
        };
        let submitted = self.store.submit(job).await.map_err(JobRefusal::Store)?;
        Ok(accepted(submitted))
    }

    /// Reads a body into memory, as far as there is room for it.
    async fn receive(&self, body: Incoming, settings: &Settings) -> Result<(Bytes, Room<'_>), Problem> {
        let limit = settings.limits.request_body.as_bytes().min(MAX_REQUEST_BYTES);
        let too_large = || Problem::from(Fault::BodyTooLarge(ByteSize::bytes(limit)));
        if body.size_hint().lower() > limit {
            return Err(too_large());
        }
        // What has come counts, not what was promised: those who send slowly would keep room from all others.
        let mut room = Room { desk: self, permits: None, bytes: 0 };
        let mut received = BytesMut::new();
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| JobRefusal::BodyBroke)?;
            // Trailers are not stored.
            let Ok(data) = frame.into_data() else { continue };
            let so_far = (received.len() + data.len()) as u64;
            if so_far > limit {
                return Err(too_large());
            }
            room.grow_to(so_far)?;
            received.extend_from_slice(&data);
        }
        Ok((received.freeze(), room))
    }
}

/// Memory that a body takes, given back when dropped.
struct Room<'d> {
    desk: &'d Desk,
    permits: Option<SemaphorePermit<'d>>,
    bytes: u64,
}

impl Room<'_> {
    fn grow_to(&mut self, bytes: u64) -> Result<(), Problem> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let kib = u32::try_from((bytes - self.bytes).div_ceil(1024)).unwrap_or(u32::MAX);
        let more = self.desk.room.try_acquire_many(kib).map_err(|_| JobRefusal::Busy)?;
        self.bytes += u64::from(kib) * 1024;
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            permits => *permits = Some(more),
        }
        Ok(())
    }
}

/// The key that a caller gave, in quotes as the draft has it, or without.
fn idempotency_key(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let valid = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    if valid { Ok(key.to_owned()) } else { Err(JobRefusal::BadKey { limit: MAX_KEY_BYTES }.into()) }
}

/// Takes out what was about the caller's connection, and says how long the body is.
fn make_plain(headers: &mut HeaderMap, body: &Bytes) {
    const GONE: [HeaderName; 5] =
        [header::CONNECTION, header::EXPECT, header::TRANSFER_ENCODING, header::UPGRADE, header::TE];
    for name in GONE {
        headers.remove(name);
    }
    prefer::drop_respond_async(headers);
    if !body.is_empty() || headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
}

/// Where a job is looked at.
pub(super) fn location(id: JobId) -> String {
    format!("{PATH}{id}")
}

fn accepted(submitted: Submitted) -> Response<Full<Bytes>> {
    let id = submitted.id();
    let location = location(id);
    let mut response =
        Response::new(Full::new(Bytes::from(format!("{{\"id\":\"{id}\",\"location\":\"{location}\"}}\n"))));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    headers.insert(header::LOCATION, HeaderValue::try_from(location).expect("a path and hexadecimal digits"));
    if let Submitted::Known(_) = submitted {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_quotes_or_without_and_has_its_limits() {
        let read = |text: &str| idempotency_key(&HeaderValue::from_str(text).unwrap()).ok();
        assert_eq!(read("\"8e03978e\"").as_deref(), Some("8e03978e"));
        assert_eq!(read("8e03978e").as_deref(), Some("8e03978e"));
        for bad in ["", "\"\"", "a b", "\"a\"b\"", &"x".repeat(256)] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
