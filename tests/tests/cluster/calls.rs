//! Functions that call functions, whichever hosts these run on.

use samovar_tests::{Cluster, eventually};

#[tokio::test]
async fn a_chain_of_functions_is_answered_with_one_request_id_whichever_hosts_they_run_on() {
    let cluster = Cluster::builder().hosts(2).start().await;
    let api = cluster.api();
    api.function("a").guest("fetch").with("allow_functions = ['b']").deploy().await;
    api.function("b").guest("fetch").with("allow_functions = ['request-facts']").deploy().await;
    cluster.deploy("request-facts").await;
    let url = "/a?url=http://b.samovar.internal/b?url=http://request-facts.samovar.internal/p";
    let call = || cluster.call(0, url).header("x-request-id", "the-same").send();
    eventually("every host knows all of them", async || call().await.status, |status| *status == 200).await;
    for _ in 0..20 {
        let facts = call().await;
        assert!(facts.ok().contains(r#"["x-request-id","the-same"]"#), "{}", facts.text());
        assert!(!facts.ok().contains("x-samovar-"), "{}", facts.text());
    }
    assert!(api.stats("request-facts").await.invocations >= 20);
}

#[tokio::test]
async fn the_callers_deadline_and_the_depth_of_calls_go_along() {
    let cluster = Cluster::builder().hosts(2).start().await;
    let api = cluster.api();
    let settings = "allow_functions = ['a', 'sleep']\nlimits.timeout = '2s'\nscale.max_instances = 20";
    api.function("a").guest("fetch").with(settings).deploy().await;
    api.function("sleep").with("limits.timeout = '60s'").deploy().await;
    let call = |path: String| cluster.call(0, &path).send();
    let quick = async || call("/a?url=http://sleep.samovar.internal/?ms=1".to_owned()).await.status;
    eventually("every host knows both", quick, |status| *status == 200).await;
    assert_eq!(call("/a?url=http://sleep.samovar.internal/?ms=50000".to_owned()).await.status, 504);
    eventually("the callee is gone", async || api.stats("sleep").await.busy, |busy| *busy == 0).await;
    let circle = format!("/a?url={}http://a.samovar.internal/a", "http://a.samovar.internal/a?url=".repeat(8));
    let answer = call(circle).await;
    assert!(answer.status == 599 && answer.text().contains("LoopDetected"), "{} {}", answer.status, answer.text());
}
