//! How many jobs a cluster's store takes in a second, and how many are run: by processes that do nothing else with them.
//!
//! `JOBS_NATS=nats://127.0.0.1:4222 cargo bench -p samovar-cluster --bench jobs`. It writes to a namespace of its own,
//! `samovar-bench`, and forgets its jobs at the end. `JOBS` is how many, `JOBS_REPLICAS` on how many servers.
#![allow(clippy::unwrap_used, reason = "a measurement that meets an error should stop there")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use samovar_cluster::jobs::{Attempt, NewJob, Selection, StoredAnswer, StoredRequest};
use samovar_cluster::nats::{Nats, NatsConfig, NatsGateways, NatsJobs};
use samovar_cluster::{GatewayLease, Gateways, Jobs};
use samovar_model::{GatewayId, GatewayRecord, JobSettings};
use tokio::task::JoinSet;

/// How many callers store jobs at once, and how many jobs a gateway runs at once.
const AT_ONCE: usize = 32;
/// What is asked, and what is answered.
const BODY_BYTES: usize = 100;

/// A process that runs jobs.
struct Runner {
    jobs: Arc<NatsJobs>,
    _gateways: NatsGateways,
    _lease: Box<dyn GatewayLease>,
}

impl Runner {
    async fn start(url: &str, replicas: usize) -> Self {
        let namespace = "samovar-bench".to_owned();
        let nats = Nats::connect(NatsConfig { namespace, replicas, ..NatsConfig::new(url.split(',')) }).await.unwrap();
        let gateways = NatsGateways::open(&nats);
        let id = GatewayId::of_run("bench", fastrand::u64(..)).unwrap();
        let (address, version) = ("127.0.0.1:1".to_owned(), "1".to_owned());
        let record = GatewayRecord { id: id.clone(), address, version, started: Timestamp::now(), routed: 0 };
        let lease = gateways.join(record).await;
        let jobs = Arc::new(NatsJobs::open(&nats, &gateways, Some(id), u64::MAX));
        Self { jobs, _gateways: gateways, _lease: lease }
    }
}

fn job() -> NewJob {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let request = StoredRequest { method: Method::POST, target: "/bench".to_owned(), headers: HeaderMap::new(), body };
    let settings = JobSettings::default();
    NewJob { function: "bench".parse().unwrap(), request, key: None, settings, tick: None }
}

fn answer() -> Attempt {
    let body = Some(Bytes::from(vec![b'y'; BODY_BYTES]));
    let body_bytes = BODY_BYTES as u64;
    Attempt::Answered(StoredAnswer { status: StatusCode::OK, headers: HeaderMap::new(), body, body_bytes })
}

/// Stores so many jobs; answers how long each took, sorted.
async fn store(runners: &[Runner], number: usize) -> Vec<Duration> {
    let (left, mut tasks) = (Arc::new(AtomicUsize::new(number)), JoinSet::new());
    for task in 0..AT_ONCE {
        let (jobs, left) = (Arc::clone(&runners[task % runners.len()].jobs), Arc::clone(&left));
        tasks.spawn(async move {
            let mut took = Vec::new();
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                let begun = Instant::now();
                jobs.submit(job()).await.unwrap();
                took.push(begun.elapsed());
            }
            took
        });
    }
    let mut took: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}

/// Runs jobs, as a gateway does: as many at once as there are places.
async fn run(runners: &[Runner], number: usize) {
    let (done, mut takers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for runner in runners {
        let (jobs, done) = (Arc::clone(&runner.jobs), Arc::clone(&done));
        takers.spawn(async move {
            let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
            loop {
                let place = Arc::clone(&places).acquire_owned().await.unwrap();
                let chosen = jobs.choose(&BTreeSet::new()).await;
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    if let Some(taken) = chosen.take().await.unwrap() {
                        taken.lease.finish(answer()).await.unwrap();
                        done.fetch_add(1, Relaxed);
                    }
                    drop(place);
                });
            }
        });
    }
    while done.load(Relaxed) < number {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn variable(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::main]
async fn main() {
    let Ok(url) = std::env::var("JOBS_NATS") else {
        println!("set JOBS_NATS to the address of a server, as in nats://127.0.0.1:4222");
        return;
    };
    let (number, replicas) = (variable("JOBS", 5_000), variable("JOBS_REPLICAS", 1));
    for gateways in [1, 2] {
        let mut runners = Vec::new();
        for _ in 0..gateways {
            runners.push(Runner::start(&url, replicas).await);
        }
        let begun = Instant::now();
        let took = store(&runners, number).await;
        let rate = number as f64 / begun.elapsed().as_secs_f64();
        let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!(
            "{gateways} gateways: {rate:.0} jobs/s stored, {AT_ONCE} at once; half within {p50:?}, 99 % within {p99:?}"
        );
        let begun = Instant::now();
        run(&runners, number).await;
        println!("{gateways} gateways: {:.0} jobs/s run", number as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let (_, ()) = tokio::join!(store(&runners, number), run(&runners, number));
        println!("{gateways} gateways: {:.0} jobs/s stored and run", number as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let purged = runners[0].jobs.purge(&Selection::default(), Timestamp::MAX).await.unwrap();
        println!("{purged} forgotten in {:?}", begun.elapsed());
    }
}
