//! Gateways' leases: how fast they tell, and what becomes of them while NATS is away.

use std::sync::Arc;
use std::time::Duration;

use samovar_model::GatewayState;
use tokio::time::{Instant, sleep, timeout};

use super::config;
use super::membership::quick;
use super::server::Server;
use crate::contract::gateways::{Backend, gateway, gateway_tests, id, shows};
use crate::contract::membership::until;
use crate::nats::{Nats, NatsConfig, NatsGateways};
use crate::{GatewayTable, Gateways};

async fn open(config: NatsConfig) -> NatsGateways {
    NatsGateways::open(&Nats::connect(config).await.unwrap())
}

struct One(Server);

impl Backend for One {
    async fn new() -> Self {
        Self(Server::start())
    }

    async fn open(&self) -> Arc<dyn Gateways> {
        Arc::new(open(quick(&self.0)).await)
    }
}

gateway_tests!(One);

fn routes_by(version: u64) -> impl Fn(&GatewayTable) -> bool {
    move |table| table.get(&id("a")).is_some_and(|member| member.record.routed == version)
}

fn ready(name: &'static str) -> impl Fn(&GatewayTable) -> bool {
    move |table| shows(table, name, GatewayState::Ready)
}

#[tokio::test]
async fn what_a_gateway_routes_by_is_told_at_once_and_not_with_the_next_renewal() {
    let server = Server::start();
    let hour = Duration::from_secs(3600);
    let slow = NatsConfig { host_renewal: hour, host_expiry: hour * 3, ..config(&server) };
    let (gateway_side, control) = (open(slow.clone()).await, open(slow).await);
    let lease = gateway_side.join(gateway("a", 0)).await;
    let mut watch = control.watch();
    until(&mut watch, "it is there", ready("a")).await;
    let mut delays = Vec::new();
    for version in 1..=25 {
        let since = Instant::now();
        lease.routed(version);
        until(&mut watch, "the version is shown", routes_by(version)).await;
        delays.push(since.elapsed());
    }
    delays.sort();
    println!("shown after {:?}, at most {:?}", delays[12], delays[24]);
    assert!(delays[12] < Duration::from_millis(100), "{delays:?}");
}

#[tokio::test]
async fn a_gateway_that_starts_while_nats_is_away_is_there_when_it_is_back() {
    let mut server = Server::start();
    server.kill();
    let impatient = NatsConfig { patience: Duration::from_millis(100), ..quick(&server) };
    let (gateway_side, control) = (open(impatient.clone()).await, open(impatient).await);
    let lease = timeout(Duration::from_millis(200), gateway_side.join(gateway("a", 1))).await.expect("at once");
    lease.routed(2);
    sleep(Duration::from_millis(500)).await;
    lease.routed(3);
    assert!(control.watch().borrow().is_empty());
    server.restart();
    let mut watch = control.watch();
    until(&mut watch, "it is there", |table| ready("a")(table) && routes_by(3)(table)).await;
}

#[tokio::test]
async fn while_nats_is_away_no_gateway_is_gone_and_afterwards_only_who_is() {
    let mut server = Server::start();
    let watcher = open(quick(&server)).await;
    let (alive, dies) = (open(quick(&server)).await, open(quick(&server)).await);
    let lease = alive.join(gateway("a", 1)).await;
    let dying = dies.join(gateway("dies", 1)).await;
    let mut watch = watcher.watch();
    until(&mut watch, "both are there", |table| ready("a")(table) && ready("dies")(table)).await;
    server.kill();
    drop((dying, dies));
    lease.routed(2);
    let worse = |table: &GatewayTable| !(ready("a")(table) && ready("dies")(table));
    let gone = timeout(Duration::from_secs(3), watch.wait_for(|table| worse(table))).await.is_ok();
    assert!(!gone, "{:?}", watch.borrow());
    server.restart();
    until(&mut watch, "the last version is told", routes_by(2)).await;
    until(&mut watch, "the dead one is gone", |table| shows(table, "dies", GatewayState::Gone)).await;
    assert!(ready("a")(&watch.borrow()));
}

#[tokio::test]
async fn leaving_while_nats_is_away_does_not_wait_for_it() {
    let mut server = Server::start();
    let process = open(quick(&server)).await;
    let lease = process.join(gateway("a", 1)).await;
    until(&mut process.watch(), "it is there", ready("a")).await;
    server.kill();
    timeout(Duration::from_secs(10), lease.leave()).await.expect("the lease is left to expire");
}
