//! What callers read when a request has no answer of a function: the one place where a fault becomes an HTTP status.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use samovar_cluster::JobsError;
use samovar_cluster::jobs::MAX_ANSWER_BYTES;
use samovar_model::api;
use samovar_model::{Fault, JobId, JobIdError, JobState, Origin, RequestId, headers};

/// Why the gateway itself turns a request away.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    NoRoute(String),
    WrongMethod { path: String, allowed: Vec<Method> },
    NoHost,
    BadTarget(&'static str),
    HeadersTooLarge { limit: usize, actual: usize },
}

/// Why a request is not stored as a job, or a job cannot be looked at.
#[derive(Debug)]
pub(crate) enum JobRefusal {
    /// The store says so.
    Store(JobsError),
    /// Not an idempotency key.
    BadKey { limit: usize },
    /// Too many bodies are being received to be stored.
    Busy,
    /// The body broke off.
    BodyBroke,
    /// The body did not come in time.
    BodySlow(Duration),
    /// Not a job's id.
    BadId(JobIdError),
    /// There is no such job.
    NoJob(JobId),
    /// The job has not come to its end.
    NotYet { id: JobId, state: JobState },
    /// There was no answer.
    Unanswered { id: JobId, outcome: String },
    /// The answer's body was too large to be kept.
    AnswerNotKept { id: JobId, body_bytes: u64 },
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

impl From<JobRefusal> for Problem {
    fn from(refusal: JobRefusal) -> Self {
        let (slug, title, status) = refusal.parts();
        let detail = match refusal {
            // What is wrong with it is for those who run the platform.
            JobRefusal::Store(JobsError::Unavailable(reason)) => {
                tracing::debug!(reason, "the store of jobs is not available");
                "the store of jobs is not available: send the request again later".to_owned()
            }
            JobRefusal::Store(JobsError::Unknown(reason)) => {
                tracing::debug!(reason, "it is not known whether a job was stored");
                "it is not known whether the request was stored: with a header idempotency-key it can be sent again \
                 without being run twice"
                    .to_owned()
            }
            JobRefusal::Store(error) => error.to_string(),
            JobRefusal::BadKey { limit } => {
                format!("the header idempotency-key must have 1 to {limit} characters of visible ASCII")
            }
            JobRefusal::Busy => "too many requests are being stored at once: send it again".to_owned(),
            JobRefusal::BodyBroke => "the request body broke off".to_owned(),
            JobRefusal::BodySlow(limit) => format!("the request body did not come in time (limit {limit:?})"),
            JobRefusal::BadId(error) => error.to_string(),
            JobRefusal::NoJob(id) => JobsError::NoJob(id).to_string(),
            JobRefusal::NotYet { id, state } => format!("job {id} is {state}: there is no answer yet"),
            JobRefusal::Unanswered { id, outcome } => format!("job {id} has no answer: {outcome}"),
            JobRefusal::AnswerNotKept { id, body_bytes } => {
                format!("the answer of job {id} has {body_bytes} bytes, and {MAX_ANSWER_BYTES} are kept")
            }
        };
        Self { slug, title, status, detail, origin: Origin::Platform, allow: None, may_retry: true }
    }
}

impl JobRefusal {
    fn parts(&self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Store(JobsError::KeyTaken(_)) => {
                ("idempotency-key-taken", "The idempotency key is taken", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::Store(JobsError::TooLarge { .. }) => {
                ("body-too-large", "Request too large", StatusCode::PAYLOAD_TOO_LARGE)
            }
            Self::Store(JobsError::Unknown(_)) => {
                ("job-unknown", "It is not known whether it was accepted", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Store(_) | Self::Busy => ("jobs-unavailable", "Not accepted", StatusCode::SERVICE_UNAVAILABLE),
            Self::BadKey { .. } => ("bad-idempotency-key", "Bad idempotency key", StatusCode::BAD_REQUEST),
            Self::BodyBroke => ("body-broken", "Request body broken off", StatusCode::BAD_REQUEST),
            Self::BodySlow(_) => ("body-slow", "Request body too slow", StatusCode::REQUEST_TIMEOUT),
            Self::BadId(_) | Self::NoJob(_) => ("no-such-job", "No such job", StatusCode::NOT_FOUND),
            Self::NotYet { .. } => ("not-answered-yet", "Not answered yet", StatusCode::NOT_FOUND),
            Self::Unanswered { .. } => ("no-answer", "No answer", StatusCode::NOT_FOUND),
            Self::AnswerNotKept { .. } => ("answer-not-kept", "The answer was not kept", StatusCode::GONE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_never_accepted_where_the_store_of_jobs_is_away_and_may_come_again() {
        let unknown = "it is not known whether the request was stored: with a header idempotency-key it can be sent again without \
                       being run twice";
        for (error, kind, detail) in [
            (
                JobsError::Unavailable("no answer in 5s".to_owned()),
                "/problems/jobs-unavailable",
                "the store of jobs is not available: send the request again later",
            ),
            (JobsError::Unknown("the connection broke".to_owned()), "/problems/job-unknown", unknown),
        ] {
            let response: Response<http_body_util::Full<Bytes>> =
                Problem::from(JobRefusal::Store(error)).respond(&RequestId::from_number(7));
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
            assert!(!response.headers().contains_key(header::LOCATION));
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
            let problem: api::Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!((problem.kind.as_str(), problem.detail.as_str()), (kind, detail));
        }
    }
}
