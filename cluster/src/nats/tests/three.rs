//! Three servers: the contracts that matter most, and the loss of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::sleep;

use super::registry::{assert_all_there, deploy_all_along, race};
use super::server::Server;
use super::uploading::Uploading;
use super::{Process, config};
use crate::contract::gateways::{self, gateway_tests};
use crate::contract::membership::{Members, membership_tests};
use crate::contract::{Backend, contract_tests};
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsArtifacts, NatsConfig, NatsGateways, NatsMembership};
use crate::{Artifacts, Gateways, Membership, Registry};

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
