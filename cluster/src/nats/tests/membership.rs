//! Leases when hosts fall silent, when NATS does, and when both do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use samovar_model::{BootEpoch, HostIntent, HostReport, HostState, Hosts};
use tokio::time::{Instant, sleep, timeout};

use super::config;
use super::proxy::{Proxy, Way};
use super::server::Server;
use crate::contract::membership::{Members, host, id, joined, membership_tests, shows, until};
use crate::nats::host_table::KnownHosts;
use crate::nats::{Nats, NatsConfig, NatsMembership};
use crate::{Membership, MembershipError};

/// Leases that live a tenth as long as by default.
pub(super) fn quick(server: &Server) -> NatsConfig {
    let (host_renewal, host_expiry) = (Duration::from_millis(300), Duration::from_millis(1500));
    NatsConfig { host_renewal, host_expiry, ..config(server) }
}

async fn open(config: NatsConfig) -> NatsMembership {
    NatsMembership::open(&Nats::connect(config).await.unwrap(), None)
}

struct One(Server);

impl Members for One {
    async fn new() -> Self {
        Self(Server::start())
    }

    async fn open(&self) -> Arc<dyn Membership> {
        Arc::new(open(quick(&self.0)).await)
    }
}

membership_tests!(One);

fn ready(name: &'static str) -> impl Fn(&Hosts) -> bool {
    move |hosts| shows(hosts, name, HostState::Ready)
}

/// Sees that the host stays ready for this long.
async fn stays_ready(membership: &NatsMembership, name: &str, long: Duration) {
    let mut watch = membership.watch();
    let worse = timeout(long, watch.wait_for(|hosts| !shows(hosts, name, HostState::Ready))).await;
    assert!(worse.is_err(), "{name} stays ready: {:?}", membership.watch().borrow());
}

#[tokio::test]
async fn a_silent_host_is_suspect_then_gone_and_can_come_back() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let watcher = open(quick(&server)).await;
    let others = open(quick(&server)).await;
    let _other = others.join(host("b", 5)).await;
    let cut_off = open(NatsConfig { servers: vec![proxy.url()], ..quick(&server) }).await;
    let lease = joined(&cut_off, host("a", 5)).await;
    let mut watch = watcher.watch();
    until(&mut watch, "it is there", ready("a")).await;
    sleep(Duration::from_millis(1500)).await;
    proxy.hold(Way::ToServer, "HPUB $KV.samovar_host.a");
    proxy.holds().await;
    let since = Instant::now();
    until(&mut watch, "it is suspect", |hosts| shows(hosts, "a", HostState::Suspect)).await;
    assert!(since.elapsed() > Duration::from_millis(300));
    until(&mut watch, "it is gone", |hosts| shows(hosts, "a", HostState::Gone)).await;
    assert!(shows(&watch.borrow(), "b", HostState::Ready));
    proxy.release();
    until(&mut watch, "it is back", ready("a")).await;
    assert!(*lease.held().borrow(), "its lease was nobody else's");
}

#[tokio::test]
async fn a_run_that_was_cut_off_cannot_take_its_lease_back() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let cut_off = open(NatsConfig { servers: vec![proxy.url()], ..quick(&server) }).await;
    let earlier = joined(&cut_off, host("a", 5)).await;
    proxy.hold(Way::ToServer, "HPUB $KV.samovar_host.a");
    proxy.holds().await;
    let direct = open(quick(&server)).await;
    let later = joined(&direct, host("a", 6)).await;
    proxy.release();
    let mut held = earlier.held();
    timeout(Duration::from_secs(20), held.wait_for(|held| !held)).await.expect("the earlier run stops").unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(*later.held().borrow());
    let shown = direct.watch().borrow().members[&id("a")].record.epoch;
    assert_eq!(shown, BootEpoch(6));
}

#[tokio::test]
async fn while_nats_is_away_nobody_is_gone_and_afterwards_only_who_is() {
    let mut server = Server::start();
    let watcher = open(quick(&server)).await;
    let (alive, dies) = (open(quick(&server)).await, open(quick(&server)).await);
    let lease = alive.join(host("alive", 5)).await;
    let dying = dies.join(host("dies", 5)).await;
    let mut watch = watcher.watch();
    until(&mut watch, "both are there", |hosts| ready("alive")(hosts) && ready("dies")(hosts)).await;
    server.kill();
    drop((dying, dies));
    let refused = alive.ask(&id("alive"), HostIntent::Draining).await.expect_err("NATS is away");
    assert!(matches!(refused, MembershipError::Unavailable(_)), "{refused}");
    tokio::join!(
        stays_ready(&watcher, "alive", Duration::from_secs(4)),
        stays_ready(&watcher, "dies", Duration::from_secs(4))
    );
    server.restart();
    let gone = |hosts: &Hosts| shows(hosts, "dies", HostState::Gone);
    tokio::join!(
        stays_ready(&watcher, "alive", Duration::from_secs(5)),
        until(&mut watch, "the dead one is gone", gone)
    );
    assert!(*lease.held().borrow());
}

#[tokio::test]
async fn a_store_that_is_up_but_does_not_answer_makes_nobody_gone() {
    let server = Server::start();
    let watcher = open(quick(&server)).await;
    let hosts = open(quick(&server)).await;
    let lease = hosts.join(host("a", 5)).await;
    until(&mut watcher.watch(), "it is there", ready("a")).await;
    sleep(Duration::from_secs(2)).await;
    // The connection stays up for some seconds: pings are not missed at once.
    server.stop();
    let mut watch = watcher.watch();
    let gone = timeout(Duration::from_secs(4), watch.wait_for(|hosts| shows(hosts, "a", HostState::Gone))).await;
    server.resume();
    assert!(gone.is_err(), "nobody is gone because nobody can renew");
    until(&mut watcher.watch(), "it is ready", ready("a")).await;
    assert!(*lease.held().borrow());
}

#[tokio::test]
async fn a_host_that_died_before_a_process_began_is_not_ready_there() {
    let server = Server::start();
    let hosts = open(quick(&server)).await;
    let _alive = hosts.join(host("alive", 5)).await;
    drop(joined(&hosts, host("dead", 5)).await);
    sleep(Duration::from_millis(2500)).await;
    let fresh = open(quick(&server)).await;
    let mut watch = fresh.watch();
    until(&mut watch, "both are known", |hosts| hosts.members.len() == 2).await;
    assert!(!shows(&watch.borrow(), "dead", HostState::Ready), "{:?}", watch.borrow());
    until(&mut watch, "the living one is ready", ready("alive")).await;
    until(&mut watch, "the dead one is gone", |hosts| shows(hosts, "dead", HostState::Gone)).await;
}

/// A server that is not there, and what a process is told of it.
fn away(server: &mut Server) -> NatsConfig {
    server.kill();
    NatsConfig { patience: Duration::from_millis(100), ..quick(server) }
}

#[tokio::test]
async fn hosts_that_start_while_nats_is_away_are_members_when_it_is_back() {
    let mut server = Server::start();
    let config = away(&mut server);
    let (hosts, watcher) = (open(config.clone()).await, open(config).await);
    let mut leases = Vec::new();
    for name in ["a", "b"] {
        leases.push(timeout(Duration::from_millis(200), hosts.join(host(name, 5))).await.expect("at once"));
    }
    leases[0].report(HostReport { intent: HostIntent::Draining, ..HostReport::default() });
    sleep(Duration::from_secs(2)).await;
    for lease in &leases {
        assert!(*lease.held().borrow() && *lease.epoch().borrow() == BootEpoch(5));
    }
    assert!(watcher.watch().borrow().members.is_empty());
    server.restart();
    let both = |hosts: &Hosts| shows(hosts, "a", HostState::Draining) && shows(hosts, "b", HostState::Ready);
    until(&mut watcher.watch(), "both are members", both).await;
    assert_eq!(*leases[0].epoch().borrow(), BootEpoch(5), "there was no earlier run");
}

#[tokio::test]
async fn a_run_that_started_while_nats_was_away_takes_the_lease_of_the_one_before() {
    let mut server = Server::start();
    let first = open(quick(&server)).await;
    drop(joined(&first, host("a", 1000)).await);
    let second = open(away(&mut server)).await;
    // Its clock has gone back.
    let lease = second.join(host("a", 10)).await;
    let mut epoch = lease.epoch();
    assert_eq!(*epoch.borrow_and_update(), BootEpoch(10));
    server.restart();
    timeout(Duration::from_secs(20), epoch.changed()).await.expect("it rises").unwrap();
    assert_eq!(*epoch.borrow_and_update(), BootEpoch(1001));
    let taken = |hosts: &Hosts| ready("a")(hosts) && hosts.members[&id("a")].record.epoch == BootEpoch(1001);
    until(&mut second.watch(), "the lease is taken", taken).await;
    let renewed = timeout(Duration::from_secs(1), epoch.changed()).await;
    assert!(renewed.is_err() && *lease.held().borrow(), "the number stays");
}

#[tokio::test]
async fn a_run_whose_first_word_was_held_up_gives_way_to_a_later_one() {
    let server = Server::start();
    let proxy = Proxy::to(server.port()).await;
    let slow = open(NatsConfig { servers: vec![proxy.url()], ..quick(&server) }).await;
    proxy.hold(Way::ToServer, "HPUB $KV.samovar_host.a");
    let earlier = slow.join(host("a", 5)).await;
    proxy.holds().await;
    let direct = open(quick(&server)).await;
    let later = joined(&direct, host("a", 6)).await;
    assert!(*earlier.held().borrow(), "it knows of nobody else");
    proxy.release();
    timeout(Duration::from_secs(20), earlier.held().wait_for(|held| !held)).await.expect("it gives way").unwrap();
    assert!(*later.held().borrow() && *earlier.epoch().borrow() == BootEpoch(5));
}

#[tokio::test]
async fn leaving_while_nats_is_away_fails_soon() {
    let mut server = Server::start();
    let process = open(quick(&server)).await;
    let lease = joined(&process, host("a", 5)).await;
    server.kill();
    let left = timeout(Duration::from_secs(10), lease.leave()).await.expect("it does not wait for NATS");
    assert!(matches!(left, Err(MembershipError::Unavailable(_))), "{left:?}");
}

async fn open_in(dir: &Path, config: NatsConfig) -> NatsMembership {
    NatsMembership::open(&Nats::connect(config).await.unwrap(), Some(dir))
}

/// Waits until the directory has the hosts of these names.
async fn on_disk(dir: &Path, names: &[&str]) {
    let read = || serde_json::from_slice::<KnownHosts>(&std::fs::read(dir.join("hosts.json")).ok()?).ok();
    let there = |known: &KnownHosts| known.hosts.iter().map(|host| host.id.as_str()).eq(names.iter().copied());
    let written = async {
        while !read().is_some_and(|known| there(&known)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), written).await.expect("the table is on disk");
}

#[tokio::test]
async fn a_process_that_starts_without_nats_knows_the_hosts_of_last_time() {
    let mut server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let earlier = open_in(dir.path(), quick(&server)).await;
    let (alive, dies) = (open(quick(&server)).await, open(quick(&server)).await);
    let (_lease, dying) = (alive.join(host("alive", 5)).await, dies.join(host("dies", 6)).await);
    on_disk(dir.path(), &["alive", "dies"]).await;
    drop(earlier);
    let later = open_in(dir.path(), away(&mut server)).await;
    drop((dying, dies));
    let mut watch = later.watch();
    let suspect = |hosts: &Hosts| shows(hosts, "alive", HostState::Suspect) && shows(hosts, "dies", HostState::Suspect);
    assert!(suspect(&watch.borrow()), "{:?}", watch.borrow());
    assert_eq!(*watch.borrow().members[&id("dies")].record, host("dies", 6));
    let changed = timeout(Duration::from_secs(3), watch.wait_for(|hosts| !suspect(hosts))).await.is_ok();
    assert!(!changed, "they stay usable: {:?}", watch.borrow());
    server.restart();
    until(&mut watch, "the living one is ready", ready("alive")).await;
    until(&mut watch, "the dead one is gone", |hosts| shows(hosts, "dies", HostState::Gone)).await;
    on_disk(dir.path(), &["alive"]).await;
}

#[tokio::test]
async fn hosts_of_last_time_that_are_no_members_any_more_are_forgotten() {
    let mut server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let hosts = open_in(dir.path(), quick(&server)).await;
    let (lease, _stays) = (joined(&hosts, host("left", 5)).await, joined(&hosts, host("stays", 5)).await);
    on_disk(dir.path(), &["left", "stays"]).await;
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("hosts.json"), copy.path().join("hosts.json")).unwrap();
    lease.leave().await.unwrap();
    let later = open_in(copy.path(), away(&mut server)).await;
    assert_eq!(later.watch().borrow().members.len(), 2);
    server.restart();
    let mut watch = later.watch();
    until(&mut watch, "only the member is left", |hosts| hosts.members.len() == 1 && ready("stays")(hosts)).await;
}

#[tokio::test]
async fn a_table_on_disk_that_cannot_be_read_is_ignored() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hosts.json"), "{\"hosts\": [{}]}").unwrap();
    let process = open_in(dir.path(), quick(&server)).await;
    assert!(process.watch().borrow().members.is_empty());
    let _lease = joined(&process, host("a", 5)).await;
    on_disk(dir.path(), &["a"]).await;
}
