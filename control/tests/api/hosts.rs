//! The hosts of a cluster, and what is asked of them.

use std::sync::Arc;

use jiff::Timestamp;
use samovar_model::api::{Deployed, HostList};
use samovar_model::{BootEpoch, HostCapacity, HostId, HostIntent, HostLoad, HostRecord, HostReport, HostState, Member};
use serde_json::json;

use crate::harness::{Api, problem};

fn id(name: &str) -> HostId {
    name.parse().unwrap()
}

fn member(name: &str, state: HostState, report: HostReport) -> Member {
    let record = HostRecord {
        id: id(name),
        address: "10.0.0.7:7070".to_owned(),
        version: "0.1.0".to_owned(),
        epoch: BootEpoch(1),
        started: Timestamp::UNIX_EPOCH,
        capacity: HostCapacity { instances: 100, memory_bytes: 1 << 30, slots: 64 },
        report,
    };
    Member { record: Arc::new(record), state }
}

fn cluster(members: Vec<Member>) -> Api {
    let api = Api::start();
    *api.platform.hosts.lock().unwrap() = Some(members);
    api
}

#[tokio::test]
async fn hosts_are_listed_with_the_functions_that_are_warm_there() {
    let api = cluster(Vec::new());
    let artifact = api.deploy("a", "0.2 one").await.function.artifact;
    api.deploy("b", "0.2 two").await;
    let load = HostLoad { busy: 2, idle: 3, in_flight: 4 };
    let report = HostReport { intent: HostIntent::Draining, routed: 0, load, warm: [artifact].into() };
    *api.platform.hosts.lock().unwrap() = Some(vec![member("h1", HostState::Draining, report)]);
    let list: HostList = api.get("/v1/hosts").await.json();
    let host = &list.hosts[0];
    assert_eq!((host.name.as_str(), host.state, host.address.as_str()), ("h1", HostState::Draining, "10.0.0.7:7070"));
    assert_eq!((host.busy, host.idle, host.in_flight, host.max_instances), (2, 3, 4, 100));
    assert_eq!(host.warm, ["a".parse().unwrap()]);
}

#[tokio::test]
async fn a_host_is_asked_to_drain_and_to_take_invocations_again() {
    let api = cluster(vec![member("h1", HostState::Ready, HostReport::default())]);
    assert_eq!(api.post("/v1/hosts/h1/drain", "").await.status, 202);
    assert_eq!(api.post("/v1/hosts/h1/undrain", "").await.status, 202);
    let asked = api.platform.asked.lock().unwrap().clone();
    assert_eq!(asked, [(id("h1"), HostIntent::Draining), (id("h1"), HostIntent::Ready)]);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_not_asked() {
    let api = cluster(vec![member("h1", HostState::Ready, HostReport::default())]);
    for name in ["h2", "H1"] {
        let refused = api.post(&format!("/v1/hosts/{name}/drain"), "").await.problem();
        assert_eq!(refused, problem(404, "no-such-host", &format!("no host `{name}`; there are: h1")));
    }
    assert!(api.platform.asked.lock().unwrap().is_empty());
    let none = cluster(Vec::new()).post("/v1/hosts/h2/drain", "").await.problem();
    assert_eq!(none, problem(404, "no-such-host", "no host `h2`; there is none"));
}

#[tokio::test]
async fn a_host_that_was_drained_and_stopped_is_let_in_before_it_is_back() {
    let api = cluster(Vec::new());
    assert_eq!(api.post("/v1/hosts/h1/undrain", "").await.status, 202);
    assert_eq!(*api.platform.asked.lock().unwrap(), [(id("h1"), HostIntent::Ready)]);
    assert_eq!(api.post("/v1/hosts/H1/undrain", "").await.status, 404);
}

#[tokio::test]
async fn one_process_alone_has_no_hosts() {
    let api = Api::start();
    let detail = "this platform is one process, `samovar up` without --join, and has no hosts beside it";
    assert_eq!(api.get("/v1/hosts").await.problem(), problem(409, "not-a-cluster", detail));
    assert_eq!(api.post("/v1/hosts/h1/drain", "").await.problem(), problem(409, "not-a-cluster", detail));
}

#[tokio::test]
async fn a_deploy_that_is_waited_for_names_the_gateways_that_do_not_route_to_it() {
    let api = Api::start();
    *api.platform.unrouted.lock().unwrap() = vec!["edge-1 at 10.0.0.8:80".to_owned()];
    let artifact = api.upload("0.2 one").await.digest;
    let body = |wait: bool| json!({ "artifact": artifact, "settings": {}, "wait": wait }).to_string();
    let deployed: Deployed = api.post("/v1/functions/a/revisions", body(false)).await.json();
    assert!(deployed.unrouted.is_empty());
    let deployed: Deployed = api.post("/v1/functions/a/revisions", body(true)).await.json();
    assert_eq!(deployed.unrouted, ["edge-1 at 10.0.0.8:80"]);
}
