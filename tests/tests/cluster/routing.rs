//! Deploys and calls: the same function through every gateway, wherever it runs.

use std::time::{Duration, Instant};

use samovar_tests::Cluster;

#[tokio::test]
async fn a_function_is_called_through_every_gateway() {
    let cluster = Cluster::builder().start().await;
    cluster.deploy("hello").await;
    cluster.is_answered("/hello").await;
    for gateway in cluster.gateways() {
        let answer = cluster.call(gateway, "/hello").send().await;
        assert_eq!(answer.ok(), "hello\n");
        assert_eq!(answer.header("x-samovar-revision"), "1");
    }
}

#[tokio::test]
async fn what_deploy_waited_for_is_what_every_gateway_answers_at_once() {
    let cluster = Cluster::builder().start().await;
    for value in 1..=10 {
        cluster.deploy_and_wait("env", &format!("env.V = '{value}'")).await;
        for _ in 0..5 {
            for gateway in cluster.gateways() {
                assert_eq!(cluster.call(gateway, "/env?V").send().await.ok(), value.to_string());
            }
        }
    }
}

#[tokio::test]
async fn a_deploy_is_routed_soon_after_it_was_acknowledged() {
    let cluster = Cluster::builder().start().await;
    let api = cluster.api();
    cluster.deploy_and_wait("env", "env.V = '0'").await;
    let mut took = Vec::new();
    for value in 1..=10 {
        api.function("env").with(&format!("env.V = '{value}'")).deploy().await;
        let acknowledged = Instant::now();
        for gateway in cluster.gateways() {
            while cluster.call(gateway, "/env?V").send().await.ok() != value.to_string() {
                assert!(acknowledged.elapsed() < Duration::from_secs(10), "{value} is not routed");
            }
        }
        took.push(acknowledged.elapsed());
    }
    took.sort_unstable();
    println!("routed by every gateway after {took:.1?}");
    // Calls included, each a round through two processes, on a machine that may be busy.
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn every_control_process_shows_the_same_and_takes_deploys() {
    let cluster = Cluster::builder().controls(2).start().await;
    cluster.api_of(0).function("env").with("env.V = 'first'").deploy().await;
    cluster.api_of(1).function("env").with("env.V = 'second'").deploy().await;
    for control in 0..2 {
        let shown = async || cluster.api_of(control).show("env").await.settings.env["V"].clone();
        samovar_tests::eventually("the latest deploy is shown", shown, |value| value == "second").await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_cluster() {
    let mut cluster = Cluster::builder().nats(3).start().await;
    cluster.deploy_and_wait("hello", "").await;
    // One that is stopped cannot end by itself.
    cluster.host(0).pause();
    assert_eq!(cluster.end(), Vec::<String>::new());
}
