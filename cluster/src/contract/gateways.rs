//! What every backend of [`Gateways`] must do, as tests that know the trait alone.

use std::sync::Arc;

use jiff::Timestamp;
use samovar_model::{GatewayId, GatewayRecord, GatewayState};

use super::membership::until;
use crate::{GatewayTable, Gateways};

/// A cluster that several processes belong to, or one process over and over.
pub(crate) trait Backend: Sized {
    async fn new() -> Self;
    /// A process's view; every call is another process, where there can be several.
    async fn open(&self) -> Arc<dyn Gateways>;
}

macro_rules! gateway_tests {
    ($backend:ty) => {
        gateway_tests!($backend: a_gateway_that_joined_is_shown_as_it_told, what_a_gateway_routes_by_is_shown,
            a_gateway_that_left_is_not_shown, a_gateway_whose_lease_ended_is_not_counted_on);
    };
    ($backend:ty: $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::gateways::$test(
                &<$backend as $crate::contract::gateways::Backend>::new().await
            ).await;
        })*
    };
}
pub(crate) use gateway_tests;

pub(crate) fn id(text: &str) -> GatewayId {
    text.parse().unwrap()
}

pub(crate) fn gateway(name: &str, routed: u64) -> GatewayRecord {
    GatewayRecord {
        id: id(name),
        address: "127.0.0.1:8080".to_owned(),
        version: "0.1.0".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        routed,
    }
}

/// Whether the table shows the gateway in this state.
pub(crate) fn shows(table: &GatewayTable, name: &str, state: GatewayState) -> bool {
    table.get(&id(name)).is_some_and(|member| member.state == state)
}

fn both_ready(table: &GatewayTable) -> bool {
    shows(table, "a", GatewayState::Ready) && shows(table, "b", GatewayState::Ready)
}

pub(crate) async fn a_gateway_that_joined_is_shown_as_it_told(backend: &impl Backend) {
    let (one, two) = (backend.open().await, backend.open().await);
    assert!(one.watch().borrow().is_empty());
    let _a = one.join(gateway("a", 0)).await;
    let _b = two.join(gateway("b", 7)).await;
    for process in [&one, &two] {
        let mut watch = process.watch();
        until(&mut watch, "both gateways are shown", both_ready).await;
        assert_eq!(*watch.borrow()[&id("b")].record, gateway("b", 7));
    }
}

pub(crate) async fn what_a_gateway_routes_by_is_shown(backend: &impl Backend) {
    let (one, two) = (backend.open().await, backend.open().await);
    let lease = one.join(gateway("a", 0)).await;
    let mut watch = two.watch();
    for version in [5, 6, 900] {
        lease.routed(version);
        let told = |table: &GatewayTable| table.get(&id("a")).is_some_and(|member| member.record.routed == version);
        until(&mut watch, "the version is shown", told).await;
    }
}

pub(crate) async fn a_gateway_that_left_is_not_shown(backend: &impl Backend) {
    let (one, two) = (backend.open().await, backend.open().await);
    let lease = one.join(gateway("a", 0)).await;
    let mut watch = two.watch();
    until(&mut watch, "it is shown", |table| shows(table, "a", GatewayState::Ready)).await;
    lease.leave().await;
    until(&mut watch, "it left", |table| table.is_empty()).await;
}

pub(crate) async fn a_gateway_whose_lease_ended_is_not_counted_on(backend: &impl Backend) {
    let (one, two) = (backend.open().await, backend.open().await);
    let (a, _b) = (one.join(gateway("a", 0)).await, one.join(gateway("b", 0)).await);
    let mut watch = two.watch();
    until(&mut watch, "both are shown", both_ready).await;
    drop(a);
    let gone = |table: &GatewayTable| !table.contains_key(&id("a")) || shows(table, "a", GatewayState::Gone);
    until(&mut watch, "the one without a lease is gone", gone).await;
    assert!(shows(&watch.borrow(), "b", GatewayState::Ready));
}
