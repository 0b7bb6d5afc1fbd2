//! What every store of [`Jobs`] must do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::{Timestamp, ToSpan};
use samovar_model::{Fault, JobId, JobSettings, JobState, Schedule, Span};

use super::name;
use crate::jobs::{
    Attempt, IdempotencyKey, Jobs, JobsError, NewJob, Selection, StoredAnswer, StoredRequest, Submitted, Taken, Tick,
};

/// Storage that can be opened again and again, as by one process after the other.
pub(crate) trait JobStore: Sized {
    fn new() -> Self;
    fn open(&self) -> impl Future<Output = Arc<dyn Jobs>>;
}

macro_rules! job_tests {
    ($backend:ty) => {
        job_tests!($backend: a_job_is_queued_then_running_then_done_with_its_answer,
            what_was_submitted_is_there_after_reopening_and_what_was_running_is_due,
            a_job_that_fails_waits_and_comes_again_until_it_is_dead,
            a_dead_letter_can_be_retried_and_only_that, the_same_key_is_the_same_job_within_a_function,
            the_same_key_at_the_same_time_is_one_job, a_function_that_is_full_is_passed_over,
            a_lease_that_is_dropped_makes_the_job_due, a_tick_is_stored_once_and_remembered,
            jobs_are_listed_newest_first_by_function_and_state, what_is_purged_is_gone_with_its_key,
            jobs_are_counted);
    };
    ($backend:ty: $($test:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let store = <$backend as $crate::contract::jobs::JobStore>::new();
            $crate::contract::jobs::$test(&store).await;
        })*
    };
}
pub(crate) use job_tests;

/// A request with this body, for a function that is tried three times within milliseconds.
pub(crate) fn asking(function: &str, body: &[u8]) -> NewJob {
    let mut headers = HeaderMap::new();
    headers.insert("x-kept", "ja \u{e9}".parse().unwrap());
    let body = Bytes::copy_from_slice(body);
    let request = StoredRequest { method: Method::POST, target: "/a?b=c".to_owned(), headers, body };
    let settings = JobSettings { backoff: Span::millis(20), ..JobSettings::default() };
    NewJob { function: name(function), request, key: None, settings, tick: None }
}

fn keyed(function: &str, body: &[u8], key: &str) -> NewJob {
    let job = asking(function, body);
    NewJob { key: Some(IdempotencyKey::new(key, &job.request)), ..job }
}

pub(crate) fn answered(status: u16) -> Attempt {
    let status = StatusCode::from_u16(status).unwrap();
    let body = Some(Bytes::from_static(b"the answer"));
    Attempt::Answered(StoredAnswer { status, headers: HeaderMap::new(), body, body_bytes: 10 })
}

async fn take(jobs: &Arc<dyn Jobs>) -> Taken {
    let taken = tokio::time::timeout(Duration::from_secs(20), jobs.take(&BTreeSet::new())).await;
    taken.expect("a job is due").unwrap()
}

async fn state(jobs: &Arc<dyn Jobs>, id: JobId) -> JobState {
    jobs.show(id).await.unwrap().expect("it is kept").state
}

async fn nothing_is_due(jobs: &Arc<dyn Jobs>) {
    let taken = tokio::time::timeout(Duration::from_millis(300), jobs.take(&BTreeSet::new())).await;
    assert!(taken.is_err(), "a job is due that should not be");
}

pub(crate) async fn a_job_is_queued_then_running_then_done_with_its_answer(store: &impl JobStore) {
    let jobs = store.open().await;
    let new = asking("a", b"body");
    let Submitted::New(id) = jobs.submit(new.clone()).await.unwrap() else { panic!("there was none before") };
    assert_eq!(state(&jobs, id).await, JobState::Queued);
    let taken = take(&jobs).await;
    assert_eq!((taken.job.id, taken.job.attempts, &taken.request), (id, 1, &new.request));
    assert_eq!(state(&jobs, id).await, JobState::Running);
    nothing_is_due(&jobs).await;
    assert_eq!(taken.lease.finish(answered(201)).await.unwrap(), JobState::Done);
    let job = jobs.show(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempts, job.answer.unwrap().status), (JobState::Done, 1, 201));
    assert_eq!(job.outcome.as_deref(), Some("answered 201 Created"));
    let answer = jobs.answer(id).await.unwrap().unwrap();
    assert_eq!((answer.status, answer.body.unwrap()), (StatusCode::CREATED, Bytes::from_static(b"the answer")));
    nothing_is_due(&jobs).await;
    assert_eq!(jobs.show(JobId::from_number(7)).await.unwrap(), None);
}

pub(crate) async fn what_was_submitted_is_there_after_reopening_and_what_was_running_is_due(store: &impl JobStore) {
    let jobs = store.open().await;
    let (mut ids, mut again) = (BTreeSet::new(), BTreeSet::new());
    for body in [b"1", b"2", b"3"] {
        ids.insert(jobs.submit(asking("a", body)).await.unwrap().id());
    }
    let first = take(&jobs).await;
    let done = first.job.id;
    first.lease.finish(answered(200)).await.unwrap();
    let running = take(&jobs).await;
    drop((running, jobs));
    let jobs = store.open().await;
    for _ in 0..2 {
        let taken = take(&jobs).await;
        assert_eq!(taken.request.target, "/a?b=c");
        again.insert(taken.job.id);
        taken.lease.finish(answered(200)).await.unwrap();
    }
    again.insert(done);
    assert_eq!(again, ids);
    nothing_is_due(&jobs).await;
}

pub(crate) async fn a_job_that_fails_waits_and_comes_again_until_it_is_dead(store: &impl JobStore) {
    let jobs = store.open().await;
    let id = jobs.submit(asking("a", b"")).await.unwrap().id();
    let outcomes = [Attempt::Failed(Fault::QueueFull(1)), answered(500), Attempt::Failed(Fault::Trap), answered(503)];
    let states = [JobState::Waiting, JobState::Waiting, JobState::Waiting, JobState::Dead];
    for ((attempt, expected), number) in outcomes.into_iter().zip(states).zip(1..) {
        let taken = take(&jobs).await;
        assert_eq!((taken.job.id, taken.job.attempts), (id, number));
        assert_eq!(taken.lease.finish(attempt).await.unwrap(), expected);
        assert_eq!(state(&jobs, id).await, expected);
    }
    nothing_is_due(&jobs).await;
    let last = jobs.answer(id).await.unwrap().unwrap();
    assert_eq!(last.status, StatusCode::SERVICE_UNAVAILABLE, "what the last attempt was answered is kept");
}

pub(crate) async fn a_dead_letter_can_be_retried_and_only_that(store: &impl JobStore) {
    let jobs = store.open().await;
    let id = jobs.submit(asking("a", b"x")).await.unwrap().id();
    let refused = jobs.retry(id).await.unwrap_err();
    assert!(matches!(refused, JobsError::NotToRetry { state: JobState::Queued, .. }), "{refused}");
    let taken = take(&jobs).await;
    assert!(matches!(jobs.retry(id).await, Err(JobsError::NotToRetry { .. })));
    assert_eq!(taken.lease.finish(answered(404)).await.unwrap(), JobState::Dead);
    jobs.retry(id).await.unwrap();
    let taken = take(&jobs).await;
    assert_eq!((taken.job.id, taken.job.attempts, &*taken.request.body), (id, 2, b"x".as_slice()));
    assert_eq!(taken.lease.finish(answered(200)).await.unwrap(), JobState::Done);
    assert!(matches!(jobs.retry(id).await, Err(JobsError::NotToRetry { state: JobState::Done, .. })));
    let nobody = JobId::from_number(9);
    assert_eq!(jobs.retry(nobody).await, Err(JobsError::NoJob(nobody)));
}

pub(crate) async fn the_same_key_is_the_same_job_within_a_function(store: &impl JobStore) {
    let jobs = store.open().await;
    let id = jobs.submit(keyed("a", b"1", "k")).await.unwrap().id();
    assert_eq!(jobs.submit(keyed("a", b"1", "k")).await.unwrap(), Submitted::Known(id));
    assert_eq!(jobs.submit(keyed("a", b"2", "k")).await, Err(JobsError::KeyTaken(id)));
    assert!(matches!(jobs.submit(keyed("b", b"2", "k")).await.unwrap(), Submitted::New(_)));
    assert!(matches!(jobs.submit(keyed("a", b"2", "l")).await.unwrap(), Submitted::New(_)));
    take(&jobs).await.lease.finish(answered(200)).await.unwrap();
    drop(jobs);
    let jobs = store.open().await;
    assert_eq!(jobs.submit(keyed("a", b"1", "k")).await.unwrap(), Submitted::Known(id), "done, and known all the same");
}

pub(crate) async fn the_same_key_at_the_same_time_is_one_job(store: &impl JobStore) {
    let jobs = store.open().await;
    let submit = |_| {
        let jobs = Arc::clone(&jobs);
        tokio::spawn(async move { jobs.submit(keyed("a", b"1", "k")).await.unwrap() })
    };
    let submitted = futures_util::future::join_all((0..20).map(submit)).await;
    let new = submitted.iter().filter(|submitted| matches!(submitted, Ok(Submitted::New(_)))).count();
    let ids: BTreeSet<JobId> = submitted.into_iter().map(|submitted| submitted.unwrap().id()).collect();
    assert_eq!((new, ids.len()), (1, 1));
    take(&jobs).await.lease.finish(answered(200)).await.unwrap();
    nothing_is_due(&jobs).await;
}

pub(crate) async fn a_function_that_is_full_is_passed_over(store: &impl JobStore) {
    let jobs = store.open().await;
    jobs.submit(asking("a", b"")).await.unwrap();
    jobs.submit(asking("b", b"")).await.unwrap();
    let full = BTreeSet::from([name("a")]);
    let taken = tokio::time::timeout(Duration::from_secs(20), jobs.take(&full)).await.expect("one is due").unwrap();
    assert_eq!(taken.job.function, name("b"));
    assert_eq!(take(&jobs).await.job.function, name("a"));
}

pub(crate) async fn a_lease_that_is_dropped_makes_the_job_due(store: &impl JobStore) {
    let jobs = store.open().await;
    let id = jobs.submit(asking("a", b"")).await.unwrap().id();
    drop(take(&jobs).await);
    let taken = take(&jobs).await;
    assert_eq!((taken.job.id, taken.job.attempts), (id, 1), "an attempt that was broken off is not counted");
    taken.lease.finish(answered(200)).await.unwrap();
}

pub(crate) async fn a_tick_is_stored_once_and_remembered(store: &impl JobStore) {
    let schedule: Schedule = serde_json::from_str(r#"{"cron":"@daily"}"#).unwrap();
    let at: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
    let tick = |at| Some(Tick { schedule: schedule.key(&name("a")), shown: "@daily".to_owned(), at });
    let jobs = store.open().await;
    assert!(jobs.last_ticks().await.unwrap().is_empty());
    let first = jobs.submit(NewJob { tick: tick(at), ..asking("a", b"") }).await.unwrap();
    let Submitted::New(id) = first else { panic!("the first of its kind") };
    assert_eq!(jobs.submit(NewJob { tick: tick(at), ..asking("a", b"") }).await.unwrap(), Submitted::Known(id));
    let earlier = NewJob { tick: tick(at - 24.hours()), ..asking("a", b"") };
    assert_eq!(jobs.submit(earlier).await.unwrap(), Submitted::Known(id), "time does not go back");
    assert_eq!(jobs.show(id).await.unwrap().unwrap().schedule.as_deref(), Some("@daily"));
    drop(jobs);
    let jobs = store.open().await;
    let next = jobs.submit(NewJob { tick: tick(at + 24.hours()), ..asking("a", b"") }).await.unwrap();
    let last = jobs.last_ticks().await.unwrap().remove(&schedule.key(&name("a")).to_string()).unwrap();
    assert_eq!((last.at, last.job), (at + 24.hours(), next.id()));
}

pub(crate) async fn jobs_are_listed_newest_first_by_function_and_state(store: &impl JobStore) {
    let jobs = store.open().await;
    let mut ids = Vec::new();
    for function in ["a", "b", "a"] {
        ids.push(jobs.submit(asking(function, b"")).await.unwrap().id());
        // Two in the same nanosecond have no order.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let list = async |function: Option<&str>, state, limit| -> Vec<JobId> {
        let which = Selection { function: function.map(name), state };
        jobs.list(&which, limit).await.unwrap().into_iter().map(|job| job.id).collect()
    };
    assert_eq!(list(None, None, 10).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(None, None, 2).await, [ids[2], ids[1]]);
    assert_eq!(list(Some("a"), None, 10).await, [ids[2], ids[0]]);
    let taken = take(&jobs).await;
    assert_eq!(list(None, Some(JobState::Running), 10).await, [taken.job.id]);
    taken.lease.finish(answered(400)).await.unwrap();
    assert_eq!(list(None, Some(JobState::Dead), 10).await, [ids[0]]);
    assert_eq!(list(Some("b"), Some(JobState::Dead), 10).await, []);
}

pub(crate) async fn what_is_purged_is_gone_with_its_key(store: &impl JobStore) {
    let jobs = store.open().await;
    for body in [b"1", b"2", b"3"] {
        jobs.submit(keyed("a", body, &String::from_utf8_lossy(body))).await.unwrap();
    }
    let done = take(&jobs).await;
    let (id, body) = (done.job.id, done.request.body.clone());
    done.lease.finish(answered(200)).await.unwrap();
    take(&jobs).await.lease.finish(answered(400)).await.unwrap();
    let which = |state| Selection { function: None, state };
    let hour_ago = Timestamp::now() - 1.hour();
    assert_eq!(jobs.purge(&which(None), hour_ago).await.unwrap(), 0);
    let soon = Timestamp::now() + 1.hour();
    assert_eq!(jobs.purge(&which(Some(JobState::Done)), soon).await.unwrap(), 1);
    assert_eq!(jobs.show(id).await.unwrap(), None);
    let again = jobs.submit(keyed("a", &body, &String::from_utf8_lossy(&body))).await.unwrap();
    assert!(matches!(again, Submitted::New(_)));
    assert_eq!(jobs.purge(&which(None), soon).await.unwrap(), 1, "the dead letter; the others have not ended");
    jobs.sweep().await.unwrap();
    assert_eq!(jobs.list(&Selection::default(), 10).await.unwrap().len(), 2);
}

pub(crate) async fn jobs_are_counted(store: &impl JobStore) {
    let jobs = store.open().await;
    let before = Timestamp::now();
    for _ in 0..4 {
        jobs.submit(asking("a", b"")).await.unwrap();
    }
    take(&jobs).await.lease.finish(answered(200)).await.unwrap();
    take(&jobs).await.lease.finish(answered(400)).await.unwrap();
    let _running = take(&jobs).await;
    let counts = jobs.counts();
    let count = |state| counts.states.get(&state).copied().unwrap_or(0);
    assert_eq!(JobState::ALL.map(count), [1, 1, 0, 1, 1]);
    let due = counts.oldest_due.expect("one is due");
    assert!(due >= before && due <= Timestamp::now());
}
