//! The table of the rules, line by line, and what holds for every course of a job.

use http::{HeaderMap, Method};
use proptest::prelude::*;
use samovar_model::{ByteSize, JobId, Span};

use super::super::StoredRequest;
use super::*;

fn answered(status: u16) -> Attempt {
    let status = StatusCode::from_u16(status).unwrap();
    Attempt::Answered(StoredAnswer { status, headers: HeaderMap::new(), body: None, body_bytes: 0 })
}

fn asking(status: u16, retry_after: &str) -> Attempt {
    let Attempt::Answered(mut answer) = answered(status) else { unreachable!() };
    answer.headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
    Attempt::Answered(answer)
}

fn first(attempt: &Attempt) -> Verdict {
    let progress = Progress { counted: 1, deferred: 0, age: Some(Duration::ZERO) };
    verdict(attempt, progress, &JobSettings::default(), 1.0)
}

#[test]
fn what_has_no_age_is_given_up_for_its_attempts_alone() {
    let settings = JobSettings { max_age: Span::secs(1), ..JobSettings::default() };
    let decide = |counted, age| verdict(&asking(503, "86400"), Progress { counted, deferred: 0, age }, &settings, 1.0);
    assert_eq!(decide(1, None), again(86_400, true));
    assert!(matches!(decide(1, Some(Duration::ZERO)), Verdict::Dead(Some(_))));
    assert!(matches!(decide(settings.retries + 1, None), Verdict::Dead(Some(_))));
}

fn again(secs: u64, counts: bool) -> Verdict {
    Verdict::Again { after: Duration::from_secs(secs), counts }
}

#[test]
fn a_status_ends_a_job_or_has_it_tried_again() {
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(first(&answered(status)), Verdict::Done, "{status}");
    }
    for status in [400, 401, 404, 409, 410, 413, 422, 451] {
        assert_eq!(first(&answered(status)), Verdict::Dead(None), "{status}");
    }
    for status in [302, 408, 429, 500, 502, 503, 504] {
        assert_eq!(first(&answered(status)), again(10, true), "{status}");
    }
}

#[test]
fn a_function_that_asks_for_time_gets_it() {
    assert_eq!(first(&asking(429, "120")), again(120, true));
    assert_eq!(first(&asking(503, "1")), again(10, true), "not earlier than otherwise");
    assert_eq!(first(&asking(500, "120")), again(10, true), "only 429 and 503 ask");
    assert_eq!(first(&asking(503, "Wed, 21 Oct 2026 07:28:00 GMT")), again(10, true));
    let never = first(&asking(503, "999999999"));
    assert!(matches!(never, Verdict::Dead(Some(why)) if why.contains("past its time (6h)")));
}

#[test]
fn a_fault_counts_only_if_the_function_may_have_run() {
    assert_eq!(first(&Attempt::Failed(Fault::BodyTooLarge(ByteSize::mib(1)))), Verdict::Dead(None));
    for fault in [Fault::Trap, Fault::HostLost, Fault::Deadline(Duration::from_secs(1)), Fault::Start] {
        assert_eq!(first(&Attempt::Failed(fault.clone())), again(10, true), "{fault}");
    }
    for fault in [Fault::QueueFull(1), Fault::NoHost, Fault::Draining, Fault::NoCapacity, Fault::NoFunction] {
        assert_eq!(first(&Attempt::Failed(fault.clone())), again(10, false), "{fault}");
    }
}

fn record(settings: JobSettings) -> Record {
    let (method, target) = (Method::POST, "/a".to_owned());
    let request = StoredRequest { method, target, headers: HeaderMap::new(), body: bytes::Bytes::new() };
    let new = NewJob { function: "a".parse().unwrap(), request, key: None, settings, tick: None };
    Record::new(JobId::from_number(1), &new, Timestamp::UNIX_EPOCH)
}

#[test]
fn three_failures_are_a_dead_letter_that_can_be_retried() {
    let mut record = record(JobSettings::default());
    let mut now = Timestamp::UNIX_EPOCH;
    for wait in [10, 20] {
        record = record.after(&answered(500), now, 1.0);
        assert_eq!(record.job.state, JobState::Waiting);
        assert_eq!(record.job.next_attempt, Some(now + Duration::from_secs(wait)));
        now += Duration::from_secs(wait);
    }
    record = record.after(&answered(500), now, 1.0);
    assert_eq!((record.job.state, record.job.attempts), (JobState::Dead, 3));
    assert_eq!(record.job.outcome.as_deref(), Some("answered 500 Internal Server Error; all 3 attempts failed"));
    assert_eq!(record.job.finished, Some(now));
    let retried = record.retried(now).unwrap();
    assert_eq!((retried.job.state, retried.counted, retried.job.attempts), (JobState::Queued, 0, 3));
    assert!(retried.retried(now).is_none(), "it is queued already");
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let faults = [Fault::Trap, Fault::QueueFull(1), Fault::NoHost, Fault::HostLost, Fault::NoFunction];
    prop_oneof![
        (100..600_u16).prop_map(answered),
        (0..100_000_u64).prop_map(|secs| asking(429, &secs.to_string())),
        prop::sample::select(faults.to_vec()).prop_map(Attempt::Failed),
    ]
}

proptest! {
    #[test]
    fn every_course_ends_and_none_is_tried_more_often_or_later_than_it_may(
        course in prop::collection::vec((attempts(), 0.0..1.0_f64), 1..40),
        (retries, max_age, backoff) in (0..5_u32, 1..100_000_u64, 1..10_000_u64),
    ) {
        let (max_age, backoff) = (Span::secs(max_age), Span::secs(backoff));
        let settings = JobSettings { retries, max_age, backoff, ..JobSettings::default() };
        let mut record = record(settings);
        let (mut now, mut counted) = (Timestamp::UNIX_EPOCH, 0);
        for (attempt, jitter) in course {
            prop_assert!(now.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs() <= max_age.as_duration());
            record = record.after(&attempt, now, jitter);
            counted += u32::from(match &attempt {
                Attempt::Answered(_) => true,
                Attempt::Failed(fault) => matches!(fault, Fault::Trap | Fault::HostLost),
            });
            prop_assert!(counted <= retries + 1);
            let job = &record.job;
            prop_assert_eq!(job.state.is_final(), job.finished.is_some());
            prop_assert_eq!(job.state == JobState::Waiting, job.next_attempt.is_some());
            if job.state.is_final() {
                let success = matches!(&attempt, Attempt::Answered(answer) if answer.status.is_success());
                prop_assert_eq!(job.state == JobState::Done, success);
                break;
            }
            let next = job.next_attempt.unwrap();
            prop_assert!(next > now, "the next attempt is later");
            now = next;
        }
    }

    #[test]
    fn waiting_grows_up_to_its_limit(first in 1..100_000_u64, earlier in 0..80_u32, jitter in 0.0..1.0_f64) {
        let first = Duration::from_millis(first);
        let wait = backoff(first, earlier, jitter);
        prop_assert!(wait >= first / 2 && wait <= MAX_BACKOFF.max(first));
        prop_assert!(backoff(first, earlier + 1, jitter) >= wait);
    }
}
