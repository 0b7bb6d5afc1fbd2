//! Hosts come and go as somebody wants it: one that joins takes traffic soon, one that is drained loses nothing.

use std::time::{Duration, Instant};

use http::Method;
use samovar_tests::{Cluster, Load, Network, Tally, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_takes_traffic_within_a_second() {
    if let Some(why) = Network::unavailable() {
        return eprintln!("skipped, for hosts need addresses of their own: {why}");
    }
    let builder = Cluster::builder().hosts(2).gateways(1).gateway_arg("--policy", "round_robin");
    let mut cluster = builder.network().start().await;
    let tally = Tally::start_at(cluster.test_address());
    let joining = cluster.host(1).address().ip();
    cluster.host(1).stop().await;
    std::fs::remove_dir_all(cluster.host(1).data_dir()).unwrap();
    cluster.deploy_and_wait("tally", &tally.settings()).await;
    let paths = |number| format!("/tally?id={number}");
    let load = Load::on(&cluster.gateway_addresses()).paths(paths).rate(100).start();
    eventually("the load runs", async || tally.runs().len(), |runs| *runs > 50).await;
    assert_eq!(tally.first_from(joining), None);

    cluster.host(1).start().await;
    let joined = Instant::now();
    let first = eventually("it runs a request", async || tally.first_from(joining), Option::is_some).await.unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    let took = first.saturating_duration_since(joined);
    assert!(took < Duration::from_secs(1), "it took {took:?} from its ready line to its first request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_host_finishes_what_it_has_and_takes_nothing_until_it_is_undrained() {
    if let Some(why) = Network::unavailable() {
        return eprintln!("skipped, for hosts need addresses of their own: {why}");
    }
    let builder = Cluster::builder().hosts(2).gateways(2).gateway_arg("--policy", "round_robin");
    let mut cluster = builder.network().start().await;
    let tally = Tally::start_at(cluster.test_address());
    cluster.deploy_and_wait("tally", &tally.settings()).await;
    cluster.is_answered_each_time(|number| format!("/tally?id=try-{number}")).await;
    let drained = cluster.host(0).address().ip();
    // Each takes half a second, so that there are always some under way.
    let paths = |number| format!("/tally?id={number}&ms=500");
    let load = Load::on(&cluster.gateway_addresses()).method(Method::POST).paths(paths).rate(30).start();
    eventually("both hosts work", async || tally.first_from(drained), Option::is_some).await;

    cluster.drain(0).await;
    cluster.host_is(0, "draining").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tally.number_from(drained);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tally.number_from(drained), before, "a drained host takes nothing");

    cluster.undrain(0).await;
    eventually("it takes requests again", async || tally.number_from(drained), |number| *number > before).await;
    let report = load.stop().await;
    assert_eq!((report.failed(), tally.repeated()), (0, Vec::new()), "{report}");
}
