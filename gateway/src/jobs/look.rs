//! `GET /.well-known/samovar/jobs/ID` says where a job stands, and `…/answer` is its answer, as the function gave it.
//! Whoever knows the id may ask: it is the right to.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use samovar_cluster::jobs::StoredAnswer;
use samovar_model::api::JobStatus;
use samovar_model::{JobId, JobState, headers};

use super::accept::location;
use super::{Desk, PATH};
use crate::problem::{JobRefusal, Problem, Refusal};

/// What of a path says which job, where it is one of these.
pub(crate) fn path_of(path: &str) -> Option<&str> {
    path.strip_prefix(PATH)
}

impl Desk {
    /// Answers a look at a job.
    pub(crate) async fn look(&self, method: Method, which: String) -> Result<Response<Full<Bytes>>, Problem> {
        if method != Method::GET && method != Method::HEAD {
            let path = format!("{PATH}{which}");
            return Err(Refusal::WrongMethod { path, allowed: vec![Method::GET, Method::HEAD] }.into());
        }
        let (id, wants_answer) = match which.strip_suffix("/answer") {
            Some(id) => (id, true),
            None => (which.as_str(), false),
        };
        let id: JobId = id.parse().map_err(JobRefusal::BadId)?;
        let job = self.store.show(id).await.map_err(JobRefusal::Store)?.ok_or(JobRefusal::NoJob(id))?;
        if !wants_answer {
            let answer_url =
                job.answer.as_ref().filter(|_| job.state.is_final()).map(|_| format!("{}/answer", location(id)));
            return Ok(status(&JobStatus { job, answer_url }));
        }
        if !job.state.is_final() {
            return Err(JobRefusal::NotYet { id, state: job.state }.into());
        }
        let answer = self.store.answer(id).await.map_err(JobRefusal::Store)?;
        let answer = answer.ok_or_else(|| JobRefusal::Unanswered { id, outcome: job.outcome.unwrap_or_default() })?;
        replay(id, job.state, answer)
    }
}

fn status(status: &JobStatus) -> Response<Full<Bytes>> {
    let mut json = serde_json::to_vec_pretty(status).unwrap_or_default();
    json.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(json)));
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer once more: status, headers and body.
fn replay(id: JobId, state: JobState, answer: StoredAnswer) -> Result<Response<Full<Bytes>>, Problem> {
    let StoredAnswer { status, headers: map, body, body_bytes } = answer;
    let body = body.ok_or(JobRefusal::AnswerNotKept { id, body_bytes })?;
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational();
    let mut response = Response::new(Full::new(if has_body { body } else { Bytes::new() }));
    // A status of the kind 1xx is none of an answer.
    *response.status_mut() = if status.is_informational() { StatusCode::OK } else { status };
    *response.headers_mut() = replayed(map);
    response.headers_mut().insert(headers::JOB_STATE, HeaderValue::from_static(state.as_str()));
    Ok(response)
}

/// The headers without those that are about a connection.
fn replayed(mut map: HeaderMap) -> HeaderMap {
    const GONE: [HeaderName; 5] =
        [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TRAILER, header::CONTENT_LENGTH];
    for name in GONE {
        map.remove(name);
    }
    map
}
