//! What functions keep in a cluster: one bucket for all hosts, in NATS or in Redis.

use futures_util::future::join_all;
use samovar_test_redis::Server;
use samovar_tests::{Cluster, eventually};

const ADD: &str = "/kv?do=increment&key=n&by=1";

/// Counts so many times at once, and says the largest count that was answered.
async fn count(cluster: &Cluster, times: usize) -> usize {
    let calls = (0..times).map(|call| cluster.call(call % 2, ADD).send());
    let counts = join_all(calls).await;
    counts.iter().map(|answer| answer.ok().trim().parse().expect("a count")).max().expect("some counts")
}

#[tokio::test]
async fn counters_are_exact_over_all_hosts_and_stay_when_one_is_killed() {
    let mut cluster = Cluster::builder().hosts(2).gateway_arg("--policy", "round_robin").start().await;
    cluster.deploy_and_wait("kv", "kv.default = {}").await;
    cluster.is_answered("/kv?do=get&key=n").await;
    assert_eq!(count(&cluster, 60).await, 60);
    cluster.host(0).kill();
    assert_eq!(count(&cluster, 20).await, 80);
    let api = cluster.api();
    assert_eq!(api.cli(&["kv", "get", "kv/default", "n"]).ok().await.trim(), "80");
    api.cli(&["kv", "put", "kv/default", "n", "7"]).ok().await;
    assert_eq!(cluster.call(0, "/kv?do=get&key=n").send().await.ok(), "7\n");
}

#[tokio::test]
async fn buckets_are_in_redis_where_the_members_are_told_so() {
    let redis = Server::start("");
    let cluster = Cluster::builder().hosts(2).env("SAMOVAR_KV", &redis.url()).start().await;
    cluster.deploy_and_wait("kv", "kv.default = {}").await;
    cluster.is_answered("/kv?do=get&key=n").await;
    assert_eq!(count(&cluster, 20).await, 20);
    assert_eq!(cluster.api().cli(&["kv", "get", "kv/default", "n"]).ok().await.trim(), "20");
    redis.stop();
    let away = async || cluster.call(0, "/kv?do=get&key=n").send().await.text().to_owned();
    eventually("the store is away", away, |text| text.contains("not available")).await;
    redis.resume();
    let back = async || cluster.call(0, "/kv?do=get&key=n").send().await.text().to_owned();
    eventually("the store is back", back, |text| text == "20\n").await;
}
