//! What every backend of [`Membership`] must do, as tests that know the trait alone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use samovar_model::{
    BootEpoch, Digest, HostCapacity, HostId, HostIntent, HostLoad, HostRecord, HostReport, HostState, Hosts,
};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{Lease, Membership};

/// A cluster that several processes belong to, or one process over and over.
pub(crate) trait Members: Sized {
    async fn new() -> Self;
    /// A process's view; every call is another process, where there can be several.
    async fn open(&self) -> Arc<dyn Membership>;
}

macro_rules! membership_tests {
    ($backend:ty) => {
        membership_tests!($backend: an_empty_cluster_has_no_hosts, a_host_that_joined_is_shown_as_it_told,
            a_report_is_shown, a_later_run_takes_the_lease_and_the_earlier_stops,
            a_run_with_a_clock_that_went_back_is_later_still,
            a_run_after_one_that_left_is_later_whatever_the_clock, a_host_that_left_is_not_shown,
            a_host_whose_lease_ended_is_not_counted_on, a_host_learns_what_it_is_asked_for);
    };
    ($backend:ty: $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::contract::membership::$test(
                &<$backend as $crate::contract::membership::Members>::new().await
            ).await;
        })*
    };
}
pub(crate) use membership_tests;

pub(crate) fn id(text: &str) -> HostId {
    text.parse().unwrap()
}

pub(crate) fn host(name: &str, epoch: u64) -> HostRecord {
    HostRecord {
        id: id(name),
        address: "127.0.0.1:7070".to_owned(),
        version: "0.1.0".to_owned(),
        epoch: BootEpoch(epoch),
        started: Timestamp::UNIX_EPOCH,
        capacity: HostCapacity { instances: 100, memory_bytes: 1 << 30, slots: 64 },
        report: HostReport::default(),
    }
}

/// Waits until the table is as it should be.
pub(crate) async fn until<T: Debug>(watch: &mut watch::Receiver<Arc<T>>, what: &str, is: impl Fn(&T) -> bool) {
    let shown =
        timeout(Duration::from_secs(30), watch.wait_for(|table| is(table))).await.map(|shown| drop(shown.unwrap()));
    assert!(shown.is_ok(), "{what}: {:?}", watch.borrow());
}

/// Joins, and waits until the lease is taken.
pub(crate) async fn joined(process: &dyn Membership, host: HostRecord) -> Box<dyn Lease> {
    let id = host.id.clone();
    let lease = process.join(host).await;
    let epoch = lease.epoch();
    let taken = |hosts: &Hosts| hosts.members.get(&id).is_some_and(|member| member.record.epoch == *epoch.borrow());
    until(&mut process.watch(), "the lease is taken", taken).await;
    lease
}

/// Whether the table shows the host in this state.
pub(crate) fn shows(hosts: &Hosts, name: &str, state: HostState) -> bool {
    hosts.members.get(&id(name)).is_some_and(|member| member.state == state)
}

pub(crate) async fn an_empty_cluster_has_no_hosts(backend: &impl Members) {
    assert!(backend.open().await.watch().borrow().members.is_empty());
}

pub(crate) async fn a_host_that_joined_is_shown_as_it_told(backend: &impl Members) {
    let (one, two) = (backend.open().await, backend.open().await);
    let _a = one.join(host("a", 5)).await;
    let _b = two.join(host("b", 6)).await;
    for process in [&one, &two] {
        let mut watch = process.watch();
        let both = |hosts: &Hosts| shows(hosts, "a", HostState::Ready) && shows(hosts, "b", HostState::Ready);
        until(&mut watch, "both hosts are shown", both).await;
        assert_eq!(*watch.borrow().members[&id("a")].record, host("a", 5));
    }
}

pub(crate) async fn a_report_is_shown(backend: &impl Members) {
    let (one, two) = (backend.open().await, backend.open().await);
    let lease = one.join(host("a", 5)).await;
    let mut watch = two.watch();
    until(&mut watch, "the host is shown", |hosts| shows(hosts, "a", HostState::Ready)).await;
    let load = HostLoad { busy: 1, idle: 2, in_flight: 3 };
    let warm = BTreeSet::from([Digest::of(b"component")]);
    let report = HostReport { intent: HostIntent::Ready, routed: 7, load, warm };
    lease.report(report.clone());
    let told = |hosts: &Hosts| hosts.members[&id("a")].record.report == report;
    until(&mut watch, "load and warm artifacts are shown", told).await;
    lease.report(HostReport { intent: HostIntent::Draining, ..report.clone() });
    until(&mut watch, "it drains", |hosts| shows(hosts, "a", HostState::Draining)).await;
    lease.report(report);
    until(&mut watch, "it is back", |hosts| shows(hosts, "a", HostState::Ready)).await;
}

pub(crate) async fn a_later_run_takes_the_lease_and_the_earlier_stops(backend: &impl Members) {
    let (one, two) = (backend.open().await, backend.open().await);
    let earlier = joined(&*one, host("a", 5)).await;
    let later = joined(&*two, HostRecord { address: "127.0.0.1:7071".to_owned(), ..host("a", 6) }).await;
    assert_eq!((*earlier.epoch().borrow(), *later.epoch().borrow()), (BootEpoch(5), BootEpoch(6)));
    let mut held = earlier.held();
    timeout(Duration::from_secs(30), held.wait_for(|held| !held)).await.expect("the earlier run stops").unwrap();
    earlier.report(HostReport { intent: HostIntent::Draining, ..HostReport::default() });
    drop(earlier);
    let mut watch = one.watch();
    let taken = |hosts: &Hosts| hosts.members.get(&id("a")).is_some_and(|member| member.record.epoch == BootEpoch(6));
    until(&mut watch, "the later run is shown", taken).await;
    assert!(*later.held().borrow());
    assert!(shows(&watch.borrow(), "a", HostState::Ready));
    assert_eq!(watch.borrow().members[&id("a")].record.address, "127.0.0.1:7071");
}

pub(crate) async fn a_run_with_a_clock_that_went_back_is_later_still(backend: &impl Members) {
    let process = backend.open().await;
    let earlier = joined(&*process, host("a", 1000)).await;
    let later = joined(&*process, host("a", 10)).await;
    assert_eq!(*later.epoch().borrow(), BootEpoch(1001));
    let mut held = earlier.held();
    timeout(Duration::from_secs(30), held.wait_for(|held| !held)).await.expect("the earlier run stops").unwrap();
    assert!(*later.held().borrow());
}

pub(crate) async fn a_run_after_one_that_left_is_later_whatever_the_clock(backend: &impl Members) {
    let process = backend.open().await;
    joined(&*process, host("a", 1000)).await.leave().await.unwrap();
    let later = joined(&*process, host("a", 10)).await;
    assert_eq!(*later.epoch().borrow(), BootEpoch(1001));
}

pub(crate) async fn a_host_that_left_is_not_shown(backend: &impl Members) {
    let (one, two) = (backend.open().await, backend.open().await);
    let lease = one.join(host("a", 5)).await;
    let mut watch = two.watch();
    until(&mut watch, "the host is shown", |hosts| shows(hosts, "a", HostState::Ready)).await;
    lease.leave().await.unwrap();
    until(&mut watch, "it left", |hosts| hosts.members.is_empty()).await;
    let _again = one.join(host("a", 6)).await;
    until(&mut watch, "it is back", |hosts| shows(hosts, "a", HostState::Ready)).await;
}

pub(crate) async fn a_host_whose_lease_ended_is_not_counted_on(backend: &impl Members) {
    let (one, two) = (backend.open().await, backend.open().await);
    let (a, _b) = (one.join(host("a", 5)).await, one.join(host("b", 5)).await);
    let mut watch = two.watch();
    let both = |hosts: &Hosts| shows(hosts, "a", HostState::Ready) && shows(hosts, "b", HostState::Ready);
    until(&mut watch, "both hosts are shown", both).await;
    drop(a);
    let gone = |hosts: &Hosts| !hosts.members.contains_key(&id("a")) || shows(hosts, "a", HostState::Gone);
    until(&mut watch, "the one without a lease is gone", gone).await;
    assert!(shows(&watch.borrow(), "b", HostState::Ready));
}

pub(crate) async fn a_host_learns_what_it_is_asked_for(backend: &impl Members) {
    let (host_side, control) = (backend.open().await, backend.open().await);
    let lease = host_side.join(host("a", 5)).await;
    let mut asked = lease.asked();
    assert_eq!(*asked.borrow(), HostIntent::Ready);
    for intent in [HostIntent::Draining, HostIntent::Ready, HostIntent::Draining] {
        control.ask(&id("a"), intent).await.unwrap();
        let told = timeout(Duration::from_secs(30), asked.wait_for(|asked| *asked == intent)).await;
        drop(told.expect("the host is told").unwrap());
    }
    let later = backend.open().await.join(host("a", 6)).await;
    let mut asked = later.asked();
    let told = timeout(Duration::from_secs(30), asked.wait_for(|asked| *asked == HostIntent::Draining)).await;
    drop(told.expect("a later run is asked the same").unwrap());
}
