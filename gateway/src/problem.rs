//! What callers read when a request has no answer of a function: the one place where a fault becomes an HTTP status.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use samovar_model::api;
use samovar_model::{Fault, Origin, RequestId, headers};

/// Why the gateway itself turns a request away.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    NoRoute(String),
    WrongMethod { path: String, allowed: Vec<Method> },
    NoHost,
    BadTarget(&'static str),
    HeadersTooLarge { limit: usize, actual: usize },
}

/// A problem that is about to be told.
pub(crate) struct Problem {
    slug: &'static str,
    title: &'static str,
    status: StatusCode,
    detail: String,
    origin: Origin,
    allow: Option<HeaderValue>,
    /// Whether a 503 says when to come again.
    may_retry: bool,
}

impl Problem {
    /// The slug, for statistics.
    pub(crate) fn slug(&self) -> &'static str {
        self.slug
    }

    /// The answer with this problem's document.
    pub(crate) fn respond<B: From<Bytes>>(self, id: &RequestId) -> Response<B> {
        let document = api::Problem {
            kind: format!("/problems/{}", self.slug),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            request_id: Some(id.as_str().to_owned()),
        };
        let json = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(B::from(Bytes::from(json)));
        *response.status_mut() = self.status;
        let map = response.headers_mut();
        map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        map.insert(headers::ORIGIN, HeaderValue::from_static(self.origin.as_str()));
        map.insert(headers::REQUEST_ID, id.header().clone());
        if let Some(allow) = self.allow {
            map.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE && self.may_retry {
            map.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let (status, title) = match &fault {
            Fault::Trap | Fault::Start => (StatusCode::BAD_GATEWAY, "The function crashed"),
            Fault::OutOfMemory(_) => (StatusCode::BAD_GATEWAY, "The function ran out of memory"),
            Fault::InvalidResponse => (StatusCode::BAD_GATEWAY, "The function gave no valid response"),
            Fault::Deadline(_) => (StatusCode::GATEWAY_TIMEOUT, "The function took too long"),
            Fault::CpuBudget(_) => (StatusCode::GATEWAY_TIMEOUT, "The function computed for too long"),
            Fault::QueueFull(_) | Fault::QueueDeadline(_) => (StatusCode::SERVICE_UNAVAILABLE, "The function is busy"),
            Fault::HostMemory { .. } => (StatusCode::SERVICE_UNAVAILABLE, "The host is short of memory"),
            Fault::NoCapacity => (StatusCode::SERVICE_UNAVAILABLE, "No capacity"),
            Fault::Draining => (StatusCode::SERVICE_UNAVAILABLE, "Shutting down"),
            Fault::NotAvailable | Fault::NotPrepared => (StatusCode::SERVICE_UNAVAILABLE, "Code not available"),
            Fault::NoFunction => (StatusCode::NOT_FOUND, "No such function"),
            Fault::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "Request body too large"),
            Fault::NoHost => (StatusCode::SERVICE_UNAVAILABLE, "No host"),
            Fault::HostLost => (StatusCode::SERVICE_UNAVAILABLE, "The host was lost"),
            // Nobody is there to read it; a status is needed all the same.
            Fault::CallerGone => (StatusCode::BAD_REQUEST, "The caller went away"),
        };
        let (slug, origin) = (fault.label(), fault.origin());
        // Whoever is told to come again does so by itself, and the function may have run.
        let may_retry = fault != Fault::HostLost;
        Self { slug, title, status, detail: fault.to_string(), origin, allow: None, may_retry }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut allow = None;
        let (slug, title, status, detail) = match refusal {
            Refusal::NoRoute(path) => {
                ("no-route", "No such route", StatusCode::NOT_FOUND, format!("no function has a route for {path}"))
            }
            Refusal::WrongMethod { path, allowed } => {
                let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                allow = HeaderValue::from_str(&list).ok();
                let detail = format!("{path} answers only {list}");
                ("wrong-method", "Method not allowed", StatusCode::METHOD_NOT_ALLOWED, detail)
            }
            Refusal::NoHost => {
                let detail = "the request has no single valid Host header".to_owned();
                ("no-host", "No host", StatusCode::BAD_REQUEST, detail)
            }
            Refusal::BadTarget(why) => ("bad-target", "Bad request target", StatusCode::BAD_REQUEST, why.to_owned()),
            Refusal::HeadersTooLarge { limit, actual } => {
                let detail = format!("the request's headers have {actual} bytes, and {limit} are accepted");
                ("headers-too-large", "Headers too large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
            }
        };
        Self { slug, title, status, detail, origin: Origin::Platform, allow, may_retry: true }
    }
}
