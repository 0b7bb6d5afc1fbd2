//! Jobs and schedules, as the control API tells of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use samovar_cluster::jobs::{Attempt, NewJob, StoredAnswer, StoredRequest};
use samovar_model::api::{JobDetail, JobList, Purged, ScheduleList};
use samovar_model::{JobSettings, JobState};
use serde_json::json;

use crate::harness::{Api, problem};

fn asking(function: &str) -> NewJob {
    let (method, target) = (Method::POST, "/x".to_owned());
    let request = StoredRequest { method, target, headers: HeaderMap::new(), body: Bytes::new() };
    NewJob { function: function.parse().unwrap(), request, key: None, settings: JobSettings::default(), tick: None }
}

fn answered(status: StatusCode, body: &'static [u8]) -> Attempt {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "text/plain".parse().unwrap())]);
    let body_bytes = body.len() as u64;
    Attempt::Answered(StoredAnswer { status, headers, body: Some(Bytes::from_static(body)), body_bytes })
}

#[tokio::test]
async fn jobs_are_listed_shown_retried_and_purged() {
    let api = Api::start();
    let jobs = api.with_jobs();
    let id = jobs.submit(asking("a")).await.unwrap().id();
    jobs.submit(asking("b")).await.unwrap();
    let taken = jobs.take(&BTreeSet::from(["b".parse().unwrap()])).await.unwrap();
    taken.lease.finish(answered(StatusCode::NOT_FOUND, b"not here")).await.unwrap();

    let list: JobList = api.get("/v1/jobs?limit=1").await.json();
    assert!(list.more && list.jobs.len() == 1);
    let dead: JobList = api.get("/v1/jobs?state=dead&function=a").await.json();
    assert_eq!((dead.jobs.len(), dead.jobs[0].id, dead.more), (1, id, false));
    let shown: JobDetail = api.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!((shown.job.state, shown.answer_text.as_deref()), (JobState::Dead, Some("not here")));
    assert_eq!(shown.answer_headers, [("content-type".to_owned(), "text/plain".to_owned())]);

    assert_eq!(api.post(&format!("/v1/jobs/{id}/retry"), "").await.status, 202);
    let again = api.post(&format!("/v1/jobs/{id}/retry"), "").await;
    let detail = format!("job {id} is queued: only one that is dead or waiting can be retried");
    assert_eq!(again.problem(), problem(409, "not-to-retry", &detail));
    let none: Purged = api.post("/v1/jobs/purge?older_than=1h", "").await.json();
    assert_eq!(none.purged, 0);
    let taken = jobs.take(&BTreeSet::from(["b".parse().unwrap()])).await.unwrap();
    taken.lease.finish(answered(StatusCode::OK, b"here")).await.unwrap();
    let purged: Purged = api.post("/v1/jobs/purge?function=a&state=done", "").await.json();
    assert_eq!(purged.purged, 1);
    let detail =
        format!("no job {id}: it never was, or was purged (done jobs are kept for 24 h, dead letters for 7 d)");
    assert_eq!(api.get(&format!("/v1/jobs/{id}")).await.problem(), problem(404, "no-such-job", &detail));
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_its_name() {
    let api = Api::start();
    let absent = problem(409, "no-jobs", "this platform has no store of jobs");
    assert_eq!(api.get("/v1/jobs").await.problem(), absent);
    api.with_jobs();
    let detail = "the query: state: `lost` is not a state of a job: queued, running, waiting, done or dead";
    assert_eq!(api.get("/v1/jobs?state=lost").await.problem(), problem(400, "bad-request", detail));
    let detail = "the query: state: only jobs that are done or dead can be purged";
    assert_eq!(api.post("/v1/jobs/purge?state=queued", "").await.problem(), problem(400, "bad-request", detail));
    assert_eq!(api.get("/v1/jobs/7").await.problem().1, "no-such-job");
}

#[tokio::test]
async fn schedules_are_listed_and_refused_where_nobody_would_keep_them() {
    let api = Api::start();
    let settings = json!({ "schedule": [{ "cron": "0 2 * * *", "zone": "Europe/Berlin" }] });
    let refused = api.try_deploy("report", "0.2 x", settings.clone()).await;
    let detail = "function.report.schedule: this platform has no store of jobs, so that no schedule is kept";
    assert_eq!(refused.problem(), problem(422, "component-refused", detail));
    api.with_jobs();
    assert_eq!(api.try_deploy("report", "0.2 x", settings).await.status, 201);
    let list: ScheduleList = api.get("/v1/schedules").await.json();
    let [schedule] = list.schedules.as_slice() else { panic!("{list:?}") };
    assert_eq!((schedule.cron.as_str(), schedule.zone.as_str()), ("0 2 * * *", "Europe/Berlin"));
    assert!(schedule.next.is_some() && schedule.last.is_none() && schedule.last_job.is_none());
}
