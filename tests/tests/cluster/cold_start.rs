//! Starts while NATS is away: what was known is served from disk.

use samovar_tests::{Cluster, eventually};

#[tokio::test]
async fn everything_restarted_at_once_without_nats_serves_what_it_knew() {
    let mut cluster = Cluster::builder().start().await;
    cluster.deploy_and_wait("env", "env.V = 'before'").await;
    // Each host has it, so that each can serve it without asking anyone.
    for gateway in cluster.gateways() {
        cluster.call(gateway, "/env?V").send().await.ok();
    }
    cluster.nats.kill();
    let restarted: Vec<_> =
        cluster.all().into_iter().filter(|who| !matches!(who, samovar_tests::Who::Control(_))).collect();
    for who in &restarted {
        cluster.member(*who).kill();
    }
    for who in &restarted {
        cluster.member(*who).start().await;
    }
    cluster.is_answered("/env?V").await;
    for gateway in cluster.gateways() {
        assert_eq!(cluster.call(gateway, "/env?V").send().await.ok(), "before");
    }
    // And goes on from there once NATS is back.
    cluster.nats.restart();
    let deployed = async || {
        let api = cluster.api();
        api.function("env").with("env.V = 'after'").try_deploy().await.is_ok()
    };
    eventually("deploys are taken again", deployed, |deployed| *deployed).await;
    for gateway in cluster.gateways() {
        let answer = async || cluster.call(gateway, "/env?V").send().await.text().to_owned();
        eventually("the new revision is routed", answer, |answer| answer == "after").await;
    }
}

#[tokio::test]
async fn a_deploy_without_nats_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::builder().hosts(1).gateways(1).start().await;
    cluster.deploy_and_wait("env", "env.V = 'before'").await;
    cluster.nats.kill();
    let api = cluster.api();
    let refused = api.function("env").with("env.V = 'after'").try_deploy().await.unwrap_err();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(cluster.call(0, "/env?V").send().await.ok(), "before");
}
