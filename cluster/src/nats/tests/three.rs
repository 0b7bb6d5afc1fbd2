//! Three servers: the contracts that matter most, and the loss of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use samovar_model::Span;
use tokio::time::sleep;

use super::jobs::Runner;
use super::key_value::count_all_along;
use super::registry::{assert_all_there, deploy_all_along, race};
use super::server::Server;
use super::uploading::Uploading;
use super::{Process, config};
use crate::contract::gateways::{self, gateway_tests};
use crate::contract::jobs::{JobStore, job_tests};
use crate::contract::key_value::{self, bucket, key_value_tests};
use crate::contract::membership::{Members, membership_tests};
use crate::contract::{Backend, contract_tests};
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsArtifacts, NatsConfig, NatsGateways, NatsKeyValue, NatsMembership};
use crate::{Artifacts, Gateways, Jobs, KeyValue, Membership, Registry};

struct Three {
    servers: [Server; 3],
    dir: tempfile::TempDir,
}

impl Three {
    /// Connects to one of the three first, and keeps everything three times.
    fn config(&self, first: usize) -> NatsConfig {
        let servers = (0..3).map(|turn| self.servers[(first + turn) % 3].url()).collect();
        NatsConfig { servers, replicas: 3, patience: Duration::from_secs(40), ..config(&self.servers[0]) }
    }
}

impl Backend for Three {
    fn new() -> Self {
        Self { servers: Server::three(), dir: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> (Arc<dyn Registry>, Arc<dyn Artifacts>) {
        let nats = Nats::connect(self.config(0)).await.unwrap();
        let dir = DataDir::open(self.dir.path()).unwrap();
        (Arc::new(Uploading::open(&nats, &dir).await.unwrap()), Arc::new(NatsArtifacts::open(&nats, &dir).unwrap()))
    }
}

contract_tests!(Three: concurrent_deploys_of_one_name_serialise,
    a_revision_that_replaces_another_does_so_only_while_that_one_answers, every_commit_is_published_with_its_version,
    numbers_are_never_reused_after_a_delete, everything_survives_reopening,
    a_clash_names_both_functions_and_the_route, collecting_spares_what_is_referred_to_or_new);

/// The processes' views, each through another server.
struct Views {
    three: Three,
    opened: AtomicUsize,
}

impl Views {
    fn start() -> Self {
        Self { three: Three::new(), opened: AtomicUsize::new(0) }
    }

    async fn connect(&self) -> Nats {
        let first = self.opened.fetch_add(1, Relaxed);
        Nats::connect(self.three.config(first)).await.unwrap()
    }
}

impl Members for Views {
    async fn new() -> Self {
        Self::start()
    }

    async fn open(&self) -> Arc<dyn Membership> {
        Arc::new(NatsMembership::open(&self.connect().await, None))
    }
}

membership_tests!(Views: a_report_is_shown, a_later_run_takes_the_lease_and_the_earlier_stops,
    a_run_with_a_clock_that_went_back_is_later_still);

impl gateways::Backend for Views {
    async fn new() -> Self {
        Self::start()
    }

    async fn open(&self) -> Arc<dyn Gateways> {
        Arc::new(NatsGateways::open(&self.connect().await))
    }
}

gateway_tests!(Views: what_a_gateway_routes_by_is_shown, a_gateway_that_left_is_not_shown);

/// Tests of several contracts have the same names.
mod values {
    use super::*;

    impl key_value::Stores for Views {
        const SHORT: Span = Span::millis(800);

        async fn new() -> Self {
            Self::start()
        }

        async fn open(&self) -> Arc<dyn KeyValue> {
            Arc::new(NatsKeyValue::open(&self.connect().await))
        }
    }

    key_value_tests!(Views: a_value_is_there_until_it_is_deleted, the_largest_value_and_the_longest_key_are_kept,
        swaps_in_a_loop_lose_nothing, counters_are_exact_under_many_tasks, keys_come_in_order_and_in_pages,
        a_full_bucket_refuses_until_something_is_deleted, clearing_spares_other_buckets,
        a_cleared_bucket_takes_writes_and_no_old_swap, everything_survives_reopening);
}

mod work {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Mutex;

    use super::super::jobs::submit_all_along;

    use super::*;

    /// One process after the other, each at another server first.
    struct Processes {
        views: Views,
        running: Mutex<Option<Runner>>,
    }

    impl JobStore for Processes {
        fn new() -> Self {
            Self { views: Views::start(), running: Mutex::default() }
        }

        async fn open(&self) -> Arc<dyn Jobs> {
            drop(self.running.lock().unwrap().take());
            let first = self.views.opened.fetch_add(1, Relaxed);
            let runner = Runner::start(self.views.three.config(first)).await;
            let jobs = Arc::clone(&runner.jobs);
            *self.running.lock().unwrap() = Some(runner);
            jobs
        }
    }

    job_tests!(Processes);

    #[tokio::test(flavor = "multi_thread")]
    async fn no_job_is_lost_and_none_run_twice_while_leaders_are_killed() {
        let mut views = Views::start();
        let runners = [Runner::start(views.three.config(0)).await, Runner::start(views.three.config(1)).await];
        let [one, other] = runners.map(Arc::new);
        let ran = Arc::new(Mutex::new(BTreeMap::new()));
        // What could not be taken is left alone for ten seconds.
        let idle = Duration::from_secs(13);
        let run = |runner: &Arc<Runner>| tokio::spawn(Arc::clone(runner).run_all(Arc::clone(&ran), idle));
        let running = [&one, &other].map(run);
        let (end, ended) = tokio::sync::watch::channel(false);
        let submitting = [&one, &other].map(|runner| tokio::spawn(submit_all_along(Arc::clone(runner), ended.clone())));
        sleep(Duration::from_secs(1)).await;
        // One of them leads the stream.
        for server in &mut views.three.servers {
            server.kill();
            sleep(Duration::from_secs(4)).await;
            server.restart();
            sleep(Duration::from_secs(4)).await;
        }
        end.send_replace(true);
        let mut accepted = BTreeSet::new();
        for task in submitting {
            accepted.extend(task.await.unwrap());
        }
        for task in running {
            task.await.unwrap();
        }
        let ran = ran.lock().unwrap();
        let (lost, repeated) = (
            accepted.iter().filter(|id| !ran.contains_key(id)).count(),
            ran.values().filter(|times| **times > 1).count(),
        );
        println!("{} jobs accepted, {} run, {lost} lost, {repeated} run more than once", accepted.len(), ran.len());
        assert!(accepted.len() > 100 && lost == 0 && repeated == 0, "{lost} lost, {repeated} repeated: {ran:?}");
    }
}

#[tokio::test]
async fn counters_are_exact_while_leaders_are_killed() {
    let mut views = Views::start();
    let bucket = bucket("a");
    let (one, other) =
        (Arc::new(NatsKeyValue::open(&views.connect().await)), Arc::new(NatsKeyValue::open(&views.connect().await)));
    let (end, ended) = tokio::sync::watch::channel(false);
    let counting: Vec<_> =
        [one, other].map(|store| tokio::spawn(count_all_along(store, bucket.clone(), ended.clone()))).into();
    sleep(Duration::from_secs(1)).await;
    // One of them leads the stream.
    for server in &mut views.three.servers {
        server.kill();
        sleep(Duration::from_secs(4)).await;
        server.restart();
        sleep(Duration::from_secs(4)).await;
    }
    end.send_replace(true);
    let (mut acknowledged, mut unknown) = (0, 0);
    for task in counting {
        let (more, open) = task.await.unwrap();
        (acknowledged, unknown) = (acknowledged + more, unknown + open);
    }
    let fresh = NatsKeyValue::open(&views.connect().await);
    let count = fresh.increment(&bucket, "n", 0).await.unwrap();
    assert!(
        acknowledged > 0 && (acknowledged..=acknowledged + unknown).contains(&count),
        "{count}: {acknowledged} and {unknown} unknown"
    );
}

#[tokio::test]
async fn of_two_processes_at_two_servers_exactly_one_gets_a_route() {
    let three = Three::new();
    race(&three.config(0), &three.config(1), 8).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_loss_of_any_server() {
    let mut three = Three::new();
    let limits = NatsConfig { commit_timeout: Duration::from_secs(5), ..three.config(0) };
    let process = Process::start(NatsConfig { answer_timeout: Duration::from_secs(1), ..limits }).await;
    let (end, ended) = tokio::sync::watch::channel(false);
    let registry = process.registry.clone();
    let deploys = tokio::spawn(async move { deploy_all_along(registry, "a", ended).await });
    sleep(Duration::from_secs(1)).await;
    // One of them leads the stream.
    for server in &mut three.servers {
        server.kill();
        sleep(Duration::from_secs(4)).await;
        server.restart();
        sleep(Duration::from_secs(4)).await;
    }
    end.send_replace(true);
    let acknowledged = deploys.await.unwrap();
    assert_all_there(&process.registry, "a", &acknowledged);
    let fresh = Process::start(three.config(2)).await;
    assert_all_there(&fresh.registry, "a", &acknowledged);
}
