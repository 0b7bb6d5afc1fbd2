//! A request on its way into an instance: its body is measured, its URI made what the guest's interface wants.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use samovar_model::{Fault, Limits, Lineage, RequestId, Settings};
use wasmtime_wasi_http::WasiBody;

use crate::body::LimitedBody;
use crate::instance::Instance;
use crate::invocation::{Deadline, Work};

/// A request whose body is not declared too large.
pub(crate) struct Admitted<B> {
    request: Request<RequestBody<B>>,
    /// Set once more of the body has come than the function accepts; none for a request without a body.
    pub(crate) exceeded: Option<Arc<AtomicBool>>,
}

enum RequestBody<B> {
    Empty,
    Limited(LimitedBody<B>),
}

impl<B> Admitted<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Refuses a body that is declared too large, and sees to it that one that turns out too large is noticed.
    pub(crate) fn check(request: Request<B>, limits: &Limits) -> Result<Self, Fault> {
        let limit = limits.request_body;
        if request.body().is_end_stream() {
            return Ok(Self { request: request.map(|_| RequestBody::Empty), exceeded: None });
        }
        if request.body().size_hint().lower() > limit.as_bytes() {
            return Err(Fault::BodyTooLarge(limit));
        }
        let exceeded = Arc::new(AtomicBool::new(false));
        let limited = |body| LimitedBody { body, left_bytes: limit.as_bytes(), exceeded: Arc::clone(&exceeded) };
        let request = request.map(|body| RequestBody::Limited(limited(body)));
        Ok(Self { request, exceeded: Some(exceeded) })
    }

    /// Whether the caller wants only the answer's head.
    pub(crate) fn is_head(&self) -> bool {
        self.request.method() == http::Method::HEAD
    }

    /// When its answer must be complete: after the function's own time, or when the function that calls it must be done.
    pub(crate) fn deadline(&self, started: Instant, settings: &Settings) -> Deadline {
        let limit = settings.limits.timeout.as_duration();
        let caller = self.request.extensions().get::<Lineage>();
        let left = caller.map_or(limit, |lineage| lineage.deadline.saturating_duration_since(started));
        Deadline::after(started, limit.min(left))
    }

    /// Hands the request to the instance.
    ///
    /// # Errors
    /// When the instance cannot take it.
    pub(crate) fn call(self, instance: Instance, id: &RequestId, deadline: Instant) -> wasmtime::Result<Work> {
        let (head, body) = self.request.into_parts();
        match (instance, body) {
            (Instance::Wasi02(instance), RequestBody::Empty) => {
                instance.call(Request::from_parts(head, Empty::new()), id, deadline).map(Work::Wasi02)
            }
            (Instance::Wasi02(instance), RequestBody::Limited(body)) => {
                instance.call(Request::from_parts(head, body), id, deadline).map(Work::Wasi02)
            }
            (Instance::Wasi03(instance), body) => {
                let body = match body {
                    RequestBody::Empty => Empty::new().map_err(|never| match never {}).boxed_unsync(),
                    RequestBody::Limited(body) => body.boxed_unsync(),
                };
                let head = instance.call(absolute(Request::from_parts(head, body)), id, deadline);
                Ok(Work::Wasi03 { instance, head })
            }
        }
    }
}

/// Gives a request the absolute URI that a handler of WASI 0.3 takes scheme and authority from.
fn absolute(mut request: Request<WasiBody>) -> Request<WasiBody> {
    if request.uri().authority().is_some() {
        return request;
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = host.parse().ok();
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}
