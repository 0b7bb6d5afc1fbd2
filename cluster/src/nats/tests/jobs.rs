//! Jobs: the contract against one server, and what is this backend's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use samovar_model::{GatewayId, GatewayRecord, JobId, JobState, Schedule};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::config;
use super::proxy::{Proxy, Way};
use super::server::Server;
use crate::contract::jobs::{JobStore, answered, asking, job_tests};
use crate::contract::name;
use crate::jobs::{Attempt, IdempotencyKey, JobCounts, NewJob, Selection, StoredAnswer, Submitted, Taken, Tick};
use crate::nats::{Nats, NatsConfig, NatsGateways, NatsJobs};
use crate::{GatewayLease, Gateways, Jobs, JobsError};

/// A process that runs jobs. Dropped, it is as one that was killed.
pub(super) struct Runner {
    pub(super) jobs: Arc<NatsJobs>,
    nats: Nats,
    gateways: NatsGateways,
    lease: Box<dyn GatewayLease>,
}

impl Runner {
    pub(super) async fn start(config: NatsConfig) -> Self {
        Self::with(config, 1 << 30).await
    }

    async fn with(config: NatsConfig, max_bytes: u64) -> Self {
        let config =
            NatsConfig { host_expiry: Duration::from_secs(3), host_renewal: Duration::from_millis(600), ..config };
        let nats = Nats::connect(config).await.unwrap();
        let gateways = NatsGateways::open(&nats);
        let id = GatewayId::of_run("gw", fastrand::u64(..)).unwrap();
        let (address, version) = ("127.0.0.1:1".to_owned(), "1".to_owned());
        let record = GatewayRecord { id: id.clone(), address, version, started: Timestamp::now(), routed: 0 };
        let lease = gateways.join(record).await;
        let jobs = Arc::new(NatsJobs::open(&nats, &gateways, Some(id), max_bytes));
        Self { jobs, nats, gateways, lease }
    }

    /// Takes a job, which must be due soon.
    async fn take(&self) -> Taken {
        timeout(Duration::from_secs(20), self.jobs.take(&BTreeSet::new())).await.expect("a job is due").unwrap()
    }

    async fn takes_nothing(&self, within: Duration) {
        let taken = timeout(within, self.jobs.take(&BTreeSet::new())).await;
        assert!(taken.is_err(), "a job is due that should not be");
    }

    /// Waits until this process knows of a job that another runs, and of that other: of one that left before its jobs were
    /// followed here, it would not know that it is gone. (One that is not known does not count as running.)
    async fn sees_one_running(&self) {
        let seen = async {
            while self.jobs.counts().states[&JobState::Running] != 1 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), seen).await.expect("it is seen");
    }

    async fn state(&self, id: JobId) -> JobState {
        self.jobs.show(id).await.unwrap().expect("it is kept").state
    }

    /// Runs jobs until none comes for so long; counts how often each was run.
    pub(super) async fn run_all(self: Arc<Self>, ran: Arc<Mutex<BTreeMap<JobId, u32>>>, idle: Duration) -> usize {
        let mut own = 0;
        while let Ok(taken) = timeout(idle, self.jobs.take(&BTreeSet::new())).await {
            let Ok(taken) = taken else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            own += 1;
            *ran.lock().unwrap().entry(taken.job.id).or_default() += 1;
            taken.lease.finish(answered(200)).await.unwrap();
        }
        own
    }

    async fn leave(self) {
        self.lease.leave().await;
    }
}

/// One server, and one process after the other.
struct One {
    server: Server,
    running: Mutex<Option<Runner>>,
}

impl JobStore for One {
    fn new() -> Self {
        Self { server: Server::start(), running: Mutex::default() }
    }

    async fn open(&self) -> Arc<dyn Jobs> {
        drop(self.running.lock().unwrap().take());
        let runner = Runner::start(config(&self.server)).await;
        let jobs = Arc::clone(&runner.jobs);
        *self.running.lock().unwrap() = Some(runner);
        jobs
    }
}

job_tests!(One);

/// Stores jobs until it is told to stop; answers those that were accepted.
pub(super) async fn submit_all_along(runner: Arc<Runner>, ended: watch::Receiver<bool>) -> BTreeSet<JobId> {
    let mut accepted = BTreeSet::new();
    while !*ended.borrow() {
        match runner.jobs.submit(asking("a", b"")).await {
            Ok(submitted) => drop(accepted.insert(submitted.id())),
            Err(JobsError::Unavailable(_) | JobsError::Unknown(_)) => {}
            Err(error) => panic!("{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    accepted
}

fn keyed(body: &[u8], key: &str) -> NewJob {
    let job = asking("a", body);
    NewJob { key: Some(IdempotencyKey::new(key, &job.request)), ..job }
}

/// How many messages there are under this subject.
async fn messages(server: &Server, subject: &str) -> u64 {
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = jetstream.get_stream("KV_samovar_job").await.unwrap();
    let filtered = stream.info_with_subjects(subject).await.unwrap();
    let all: Vec<_> = futures_util::TryStreamExt::try_collect(filtered).await.unwrap();
    all.into_iter().map(|(_, count)| count as u64).sum()
}

#[tokio::test]
async fn a_job_stored_by_one_process_is_shown_by_another_at_once_and_run_by_one_of_them() {
    let server = Server::start();
    let (one, other) = (Runner::start(config(&server)).await, Runner::start(config(&server)).await);
    for number in 0..20 {
        let id = one.jobs.submit(asking("a", &[number])).await.unwrap().id();
        assert_eq!(other.state(id).await, JobState::Queued);
        let none = BTreeSet::new();
        let taken = tokio::select! {
            taken = one.jobs.take(&none) => taken,
            taken = other.jobs.take(&none) => taken,
        };
        let taken = taken.unwrap();
        assert_eq!((taken.job.id, &taken.request.body[..]), (id, &[number][..]));
        assert_eq!((one.state(id).await, other.state(id).await), (JobState::Running, JobState::Running));
        assert!(matches!(other.jobs.retry(id).await, Err(JobsError::NotToRetry { state: JobState::Running, .. })));
        assert_eq!(taken.lease.finish(answered(200)).await.unwrap(), JobState::Done);
        assert_eq!((one.state(id).await, other.state(id).await), (JobState::Done, JobState::Done));
    }
    let done = Selection { state: Some(JobState::Done), function: None };
    assert_eq!(other.jobs.list(&done, 100).await.unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_jobs_and_run_none_twice() {
    let server = Server::start();
    let (one, other) = (Arc::new(Runner::start(config(&server)).await), Arc::new(Runner::start(config(&server)).await));
    let ran = Arc::new(Mutex::new(BTreeMap::new()));
    let idle = Duration::from_secs(3);
    let run = |runner: &Arc<Runner>| tokio::spawn(Arc::clone(runner).run_all(Arc::clone(&ran), idle));
    let running = [&one, &other, &one, &other].map(run);
    let mut ids = BTreeSet::new();
    for number in 0..200_u32 {
        ids.insert(one.jobs.submit(asking("a", &number.to_be_bytes())).await.unwrap().id());
    }
    let mut shares = Vec::new();
    for task in running {
        shares.push(task.await.unwrap());
    }
    let ran = ran.lock().unwrap();
    assert_eq!(ran.keys().copied().collect::<BTreeSet<_>>(), ids);
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
    let (first, second) = (shares[0] + shares[2], shares[1] + shares[3]);
    assert!(first > 20 && second > 20, "each has its share: {first} and {second}");
}

#[tokio::test]
async fn what_a_process_ran_that_is_gone_is_run_by_another_and_not_counted() {
    let server = Server::start();
    let (one, other) = (Runner::start(config(&server)).await, Runner::start(config(&server)).await);
    let id = one.jobs.submit(asking("a", b"")).await.unwrap().id();
    let taken = one.take().await;
    other.takes_nothing(Duration::from_secs(4)).await;
    // It is as if it were killed: nothing is given back.
    std::mem::forget(taken.lease);
    let killed = Instant::now();
    drop(one);
    let taken = other.take().await;
    assert_eq!((taken.job.id, taken.job.attempts), (id, 1));
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    assert_eq!(taken.lease.finish(answered(200)).await.unwrap(), JobState::Done);
}

#[tokio::test]
async fn what_a_process_ran_that_left_is_run_by_another_soon() {
    let server = Server::start();
    let (one, other) = (Runner::start(config(&server)).await, Runner::start(config(&server)).await);
    let id = one.jobs.submit(asking("a", b"")).await.unwrap().id();
    let taken = one.take().await;
    other.sees_one_running().await;
    other.takes_nothing(Duration::from_millis(100)).await;
    let lease = taken.lease;
    one.leave().await;
    let again = timeout(Duration::from_secs(2), other.take()).await.expect("at once");
    assert_eq!(again.job.id, id);
    again.lease.finish(answered(200)).await.unwrap();
    let overtaken = lease.finish(answered(500)).await.unwrap_err();
    assert!(overtaken.to_string().contains("given to another gateway"), "{overtaken}");
    assert_eq!(other.state(id).await, JobState::Done, "what came first counts");
}

#[tokio::test]
async fn while_nats_is_away_nothing_is_accepted_and_what_runs_is_finished_after() {
    let mut server = Server::start();
    let runner = Runner::start(config(&server)).await;
    let id = runner.jobs.submit(asking("a", b"")).await.unwrap().id();
    let taken = runner.take().await;
    server.kill();
    while runner.nats.is_connected() {
        sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    let refused = runner.jobs.submit(asking("a", b"refused")).await.unwrap_err();
    assert!(matches!(refused, JobsError::Unavailable(_)), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(runner.jobs.show(id).await, Err(JobsError::Unavailable(_))));
    let finishing = tokio::spawn(taken.lease.finish(answered(200)));
    // Longer than a lease lasts.
    sleep(Duration::from_secs(4)).await;
    assert!(!finishing.is_finished());
    server.restart();
    let finished = timeout(Duration::from_secs(30), finishing).await.expect("it goes on").unwrap();
    assert_eq!(finished.unwrap(), JobState::Done);
    runner.takes_nothing(Duration::from_secs(1)).await;
    assert_eq!(runner.jobs.list(&Selection::default(), 10).await.unwrap().len(), 1, "what was refused is not there");
    runner.jobs.submit(asking("a", b"")).await.unwrap();
    assert_eq!(runner.take().await.job.attempts, 1);
}

#[tokio::test]
async fn a_job_whose_acknowledgement_was_lost_is_stored_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let impatient = NatsConfig { answer_timeout: Duration::from_secs(1), ..config(&server) };
    let runner = Runner::start(NatsConfig { servers: vec![proxy.url()], ..impatient }).await;
    runner.jobs.submit(asking("a", b"first")).await.unwrap();
    proxy.hold(Way::ToClient, "{\"stream\":\"KV_samovar_job\"");
    let jobs = Arc::clone(&runner.jobs);
    let submitted = tokio::spawn(async move { jobs.submit(keyed(b"second", "k")).await });
    proxy.holds().await;
    sleep(Duration::from_millis(1500)).await;
    proxy.release();
    let submitted = submitted.await.unwrap();
    assert!(matches!(submitted, Ok(Submitted::New(_))), "{submitted:?}");
    assert_eq!(runner.jobs.list(&Selection::default(), 10).await.unwrap().len(), 2);
    assert_eq!(messages(&server, "$KV.samovar_job.open.*").await, 3, "two jobs and a fence");
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_a_submission_unknown() {
    let server = Server::start();
    let runner = Runner::start(config(&server)).await;
    runner.jobs.submit(asking("a", b"")).await.unwrap();
    server.stop();
    let begun = Instant::now();
    let submitted = runner.jobs.submit(asking("a", b"")).await;
    server.resume();
    assert!(matches!(submitted, Err(JobsError::Unknown(_))), "{submitted:?}");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_same_key_or_tick_at_two_processes_at_once_is_one_job() {
    let server = Server::start();
    let (one, other) = (Runner::start(config(&server)).await, Runner::start(config(&server)).await);
    let schedule: Schedule = serde_json::from_str(r#"{"cron":"@hourly"}"#).unwrap();
    let hour = |hour: i64| Timestamp::from_second(1_800_000_000 + 3600 * hour).unwrap();
    let tick = |at| {
        let tick = Tick { schedule: schedule.key(&name("a")), shown: "@hourly".to_owned(), at };
        NewJob { tick: Some(tick), ..asking("a", b"") }
    };
    for round in 0..10 {
        let key = round.to_string();
        let (first, second) = tokio::join!(one.jobs.submit(keyed(b"x", &key)), other.jobs.submit(keyed(b"x", &key)));
        let submitted = [first.unwrap(), second.unwrap()];
        assert_eq!(submitted[0].id(), submitted[1].id());
        assert_eq!(submitted.iter().filter(|submitted| matches!(submitted, Submitted::New(_))).count(), 1);
        let (first, second) = tokio::join!(one.jobs.submit(tick(hour(round))), other.jobs.submit(tick(hour(round))));
        assert_eq!(first.unwrap().id(), second.unwrap().id());
    }
    assert_eq!(one.jobs.list(&Selection::default(), 100).await.unwrap().len(), 20);
    let last = other.jobs.last_ticks().await.unwrap();
    assert_eq!(last[&schedule.key(&name("a")).to_string()].at, hour(9));
}

#[tokio::test]
async fn long_requests_and_answers_are_kept_in_parts_and_removed_with_their_job() {
    let server = Server::with(|store| {
        format!("max_payload: 65536\njetstream {{ store_dir: \"{store}\", sync_interval: always }}")
    });
    let runner = Runner::start(config(&server)).await;
    let (asked, told) = (Bytes::from(vec![7; 1_500_000]), Bytes::from(vec![8; 1 << 20]));
    let submit = |key: &str| runner.jobs.submit(keyed(&asked, key));
    let id = submit("done").await.unwrap().id();
    let answer = |status| {
        let body = Some(told.clone());
        Attempt::Answered(StoredAnswer { status, headers: HeaderMap::new(), body, body_bytes: told.len() as u64 })
    };
    let taken = runner.take().await;
    assert_eq!(taken.request.body, asked);
    taken.lease.finish(answer(StatusCode::OK)).await.unwrap();
    assert_eq!(runner.jobs.answer(id).await.unwrap().unwrap().body, Some(told.clone()));
    // A dead letter keeps its request, for whoever retries it.
    let dead = submit("dead").await.unwrap().id();
    runner.take().await.lease.finish(answer(StatusCode::NOT_FOUND)).await.unwrap();
    runner.jobs.retry(dead).await.unwrap();
    assert_eq!(runner.jobs.answer(dead).await.unwrap(), None);
    let taken = runner.take().await;
    assert_eq!((taken.job.id, &taken.request.body), (dead, &asked));
    taken.lease.finish(answer(StatusCode::NOT_FOUND)).await.unwrap();
    runner.jobs.sweep().await.unwrap();
    let of = async |what: &str, id: JobId| messages(&server, &format!("$KV.samovar_job.{what}.{id}.*")).await;
    assert!(of("request", dead).await > 10 && of("answer", id).await > 10);
    assert_eq!(runner.jobs.purge(&Selection::default(), Timestamp::MAX).await.unwrap(), 2);
    assert_eq!((of("request", dead).await, of("answer", dead).await, of("answer", id).await), (0, 0, 0));
    let huge = runner.jobs.submit(asking("a", &vec![1; 40 << 20])).await.unwrap_err();
    assert!(matches!(huge, JobsError::TooLarge { .. }), "{huge}");
}

#[tokio::test]
async fn parts_that_no_job_refers_to_are_swept_and_others_are_not() {
    let server = Server::start();
    let runner = Runner::start(config(&server)).await;
    let id = runner.jobs.submit(asking("a", &[1; 100_000])).await.unwrap().id();
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let lost = JobId::from_number(1);
    for part in 0..2 {
        let subject = format!("$KV.samovar_job.request.{lost}.{part}");
        jetstream.publish(subject, "x".into()).await.unwrap().await.unwrap();
    }
    runner.jobs.sweep().await.unwrap();
    assert_eq!(messages(&server, &format!("$KV.samovar_job.request.{lost}.*")).await, 0);
    let taken = runner.take().await;
    assert_eq!((taken.job.id, taken.request.body.len()), (id, 100_000));
}

#[tokio::test]
async fn a_store_that_is_full_refuses_and_says_so() {
    let server = Server::start();
    let runner = Runner::with(config(&server), 100_000).await;
    runner.jobs.submit(asking("a", &[1; 60_000])).await.unwrap();
    let refused = runner.jobs.submit(asking("a", &[1; 60_000])).await.unwrap_err();
    assert!(matches!(refused, JobsError::Full { limit: 100_000, .. }), "{refused}");
    runner.take().await.lease.finish(answered(200)).await.unwrap();
    let accepted = async {
        while runner.jobs.submit(asking("a", &[1; 60_000])).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(20), accepted).await.expect("there is room again");
}

#[tokio::test]
async fn another_process_counts_what_there_is() {
    let server = Server::start();
    let one = Runner::start(config(&server)).await;
    for _ in 0..4 {
        one.jobs.submit(asking("a", b"")).await.unwrap();
    }
    one.take().await.lease.finish(answered(200)).await.unwrap();
    one.take().await.lease.finish(answered(400)).await.unwrap();
    let _running = one.take().await;
    // A process that only looks.
    let nats = Nats::connect(config(&server)).await.unwrap();
    let looking = NatsJobs::open(&nats, &one.gateways, None, 1 << 30);
    let right =
        |counts: &JobCounts| JobState::ALL.map(|state| counts.states[&state]) == [1, 1, 0, 1, 1] && counts.bytes > 0;
    let counted = async {
        while !right(&looking.counts()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let counted = timeout(Duration::from_secs(10), counted).await;
    assert!(counted.is_ok(), "{:?}", looking.counts());
}
