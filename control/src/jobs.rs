//! Jobs: looking at them, having one tried again, forgetting those that have come to their end; and the schedules that make some.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use samovar_cluster::Jobs;
use samovar_cluster::jobs::{Selection, StoredAnswer};
use samovar_model::api::{JobDetail, JobList, Problem as Document, Purged, ScheduleList, ScheduleStatus};
use samovar_model::{FunctionName, JobId, JobState, Span};

use crate::Control;
use crate::extract::Params;
use crate::problem::{Kind, Problem};

/// How many jobs are listed where nothing is said of it.
const USUAL_LIMIT: usize = 100;
/// The most that are listed.
const MAX_LIMIT: usize = 10_000;

/// Which jobs.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only this function's.
    function: Option<String>,
    /// Only those that are `queued`, `running`, `waiting`, `done` or `dead`.
    state: Option<String>,
    /// How many at most, up to 10,000; 100 when absent.
    limit: Option<usize>,
}

/// Which jobs are to be forgotten, of those that are done or dead.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Unwanted {
    /// Only this function's.
    function: Option<String>,
    /// Only those that are `done`, or only those that are `dead`.
    state: Option<String>,
    /// Only those that came to their end longer ago than this, as in `1d`.
    older_than: Option<String>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs", params(Wanted), responses(
    (status = 200, body = JobList),
    (status = 400, description = "the query is malformed", body = Document, content_type = "application/problem+json"),
    (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(control): State<Control>,
    Params(wanted): Params<Wanted>,
) -> Result<axum::Json<JobList>, Problem> {
    let which = selection(wanted.function.as_deref(), wanted.state.as_deref())?;
    let limit = wanted.limit.unwrap_or(USUAL_LIMIT).clamp(1, MAX_LIMIT);
    let mut jobs = store(&control)?.list(&which, limit + 1).await?;
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    Ok(axum::Json(JobList { jobs, more }))
}

/// A job with its answer, as far as that was kept.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "show_job", tag = "jobs",
    params(("id" = String, Path, description = "the job's id")),
    responses(
        (status = 200, body = JobDetail),
        (status = 404, description = "no such job", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<axum::Json<JobDetail>, Problem> {
    let (store, id) = (store(&control)?, job_id(&id)?);
    let job = store.show(id).await?.ok_or(samovar_cluster::JobsError::NoJob(id))?;
    let answer = if job.answer.is_some() { store.answer(id).await? } else { None };
    let (answer_headers, answer_text) = answer.map(told).unwrap_or_default();
    Ok(axum::Json(JobDetail { job, answer_headers, answer_text }))
}

/// The answer's headers, and its body if it is a text.
fn told(answer: StoredAnswer) -> (Vec<(String, String)>, Option<String>) {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    (headers, answer.body.and_then(|body| String::from_utf8(body.to_vec()).ok()))
}

/// Has a job tried again that is dead or waiting: at once, and with all its attempts before it.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs",
    params(("id" = String, Path, description = "the job's id")),
    responses(
        (status = 202, description = "it is due"),
        (status = 404, description = "no such job", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "it is not dead or waiting", body = Document,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn retry(State(control): State<Control>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let (store, id) = (store(&control)?, job_id(&id)?);
    store.retry(id).await?;
    tracing::info!(job = %id, "retried by hand");
    Ok(StatusCode::ACCEPTED)
}

/// Forgets jobs that are done or dead, with their answers and idempotency keys.
#[utoipa::path(post, path = "/v1/jobs/purge", operation_id = "purge_jobs", tag = "jobs", params(Unwanted), responses(
    (status = 200, body = Purged),
    (status = 400, description = "the query is malformed", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn purge(
    State(control): State<Control>,
    Params(unwanted): Params<Unwanted>,
) -> Result<axum::Json<Purged>, Problem> {
    let which = selection(unwanted.function.as_deref(), unwanted.state.as_deref())?;
    if which.state.is_some_and(|state| !state.is_final()) {
        let detail = "the query: state: only jobs that are done or dead can be purged";
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let age = unwanted.older_than.as_deref().map(str::parse::<Span>).transpose();
    let age = age.map_err(|error| Problem::new(Kind::BadRequest, format!("the query: older_than: {error}")))?;
    // Without an age, what ends while the request is on its way may be meant as well.
    let before = match age {
        Some(age) => Timestamp::now().checked_sub(age.as_duration()).unwrap_or(Timestamp::MIN),
        None => Timestamp::MAX,
    };
    let purged = store(&control)?.purge(&which, before).await?;
    tracing::info!(purged, "jobs purged");
    Ok(axum::Json(Purged { purged }))
}

/// The schedules of all functions: when each was due last, and will be next.
#[utoipa::path(get, path = "/v1/schedules", operation_id = "list_schedules", tag = "jobs", responses(
    (status = 200, body = ScheduleList),
    (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn schedules(State(control): State<Control>) -> Result<axum::Json<ScheduleList>, Problem> {
    let store = store(&control)?;
    let ticks = store.last_ticks().await?;
    let (now, snapshot) = (Timestamp::now(), control.snapshot());
    let mut schedules = Vec::new();
    for function in snapshot.functions.values() {
        for schedule in &function.current().settings.schedules {
            let last = ticks.get(&schedule.key(&function.name).to_string());
            let last_job = match last {
                Some(last) => store.show(last.job).await?,
                None => None,
            };
            schedules.push(ScheduleStatus {
                function: function.name.clone(),
                cron: schedule.cron.to_string(),
                zone: schedule.zone.to_string(),
                path: schedule.path.clone(),
                catch_up: schedule.catch_up,
                next: schedule.next(now),
                last: last.map(|last| last.at),
                last_job,
            });
        }
    }
    Ok(axum::Json(ScheduleList { schedules }))
}

fn store(control: &Control) -> Result<Arc<dyn Jobs>, Problem> {
    control.0.platform.jobs().ok_or_else(|| Problem::new(Kind::NoJobs, "this platform has no store of jobs"))
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|error: samovar_model::JobIdError| Problem::new(Kind::NoJob, error.to_string()))
}

fn selection(function: Option<&str>, state: Option<&str>) -> Result<Selection, Problem> {
    let function = function.map(str::parse::<FunctionName>).transpose()?;
    let state = state.map(str::parse::<JobState>).transpose();
    let state = state.map_err(|error| Problem::new(Kind::BadRequest, format!("the query: state: {error}")))?;
    Ok(Selection { function, state })
}
