//! The number of instances follows the traffic.

use std::collections::BTreeSet;

use samovar_tests::{Node, eventually};

#[tokio::test]
async fn from_none_to_max_instances_under_load_and_back_to_none() {
    let node = Node::start().await;
    let settings = "scale.max_instances = 4\nscale.idle_timeout = '500ms'\nscale.queue_timeout = '60s'";
    node.function("sleep").with(settings).deploy().await;
    assert_eq!(node.stats("sleep").await.busy, 0);
    let calls: Vec<_> = (0..12).map(|_| tokio::spawn(node.call("/sleep?ms=1000").send())).collect();
    let stats = async || node.stats("sleep").await;
    eventually("four run and the others wait", stats, |stats| stats.busy == 4 && stats.queued == 8).await;
    let mut instances = BTreeSet::new();
    for call in calls {
        let answer = call.await.unwrap();
        answer.ok();
        instances.insert(answer.header("x-samovar-instance-id").to_owned());
    }
    assert_eq!(instances.len(), 4);
    let stats = node.stats("sleep").await;
    assert_eq!((stats.invocations, stats.cold_starts), (12, 4));
    let stats = async || node.stats("sleep").await;
    eventually("all are gone", stats, |stats| stats.busy + stats.idle == 0).await;
    assert_eq!(node.call("/sleep?ms=0").send().await.instance(), "cold");
}

#[tokio::test]
async fn an_idle_instance_goes_after_idle_timeout_and_not_before() {
    let node = Node::start().await;
    node.function("counter").with("scale.idle_timeout = '700ms'").deploy().await;
    node.function("patient").guest("counter").with("scale.idle_timeout = '1h'").deploy().await;
    for path in ["/counter", "/patient"] {
        assert_eq!(node.call(path).send().await.ok(), "1");
    }
    assert_eq!(node.call("/counter").send().await.ok(), "2");
    eventually("it is gone", async || node.stats("counter").await.idle, |idle| *idle == 0).await;
    assert_eq!(node.stats("patient").await.idle, 1);
    assert_eq!(node.call("/counter").send().await.cold(), "1");
    assert_eq!(node.call("/patient").send().await.ok(), "2");
}

#[tokio::test]
async fn min_warm_instances_are_there_before_the_first_call_and_stay() {
    let node = Node::start().await;
    node.function("counter").with("scale.min_warm = 2\nscale.idle_timeout = '300ms'").deploy().await;
    eventually("two are warm", async || node.stats("counter").await.idle, |idle| *idle == 2).await;
    assert_eq!(node.call("/counter").send().await.warm(), "1");
    // Three at once need a third one, which goes again; the two stay.
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(node.call("/counter?ms=500").send())).collect();
    eventually("three are busy", async || node.stats("counter").await.busy, |busy| *busy == 3).await;
    for call in calls {
        call.await.unwrap().ok();
    }
    eventually("two are left", async || node.stats("counter").await.idle, |idle| *idle == 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(node.stats("counter").await.idle, 2);
}

#[tokio::test]
async fn min_warm_instances_are_there_after_a_restart_too() {
    let node = Node::start().await;
    node.function("counter").with("scale.min_warm = 1").deploy().await;
    let node = node.stop().await.start().await;
    eventually("one is warm", async || node.stats("counter").await.idle, |idle| *idle == 1).await;
    assert_eq!(node.call("/counter").send().await.instance(), "warm");
}

#[tokio::test]
async fn surplus_instances_go_while_the_busy_one_is_kept_warm() {
    let node = Node::start().await;
    node.function("counter").with("scale.idle_timeout = '1s'").deploy().await;
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(node.call("/counter?ms=800").send())).collect();
    eventually("five are busy", async || node.stats("counter").await.busy, |busy| *busy == 5).await;
    for call in calls {
        call.await.unwrap().ok();
    }
    // A steady trickle is answered by the instance that was used last, so that the others go idle.
    let trickle = async || {
        assert_eq!(node.call("/counter").send().await.instance(), "warm");
        let stats = node.stats("counter").await;
        stats.busy + stats.idle
    };
    eventually("one is left", trickle, |instances| *instances == 1).await;
}

#[tokio::test]
async fn functions_share_the_host_by_dropping_what_is_idle() {
    let node = Node::builder().arg("--max-instances", "4").start().await;
    node.function("first").guest("counter").with("scale.idle_timeout = '1h'").deploy().await;
    node.function("second").guest("counter").with("scale.idle_timeout = '1h'").deploy().await;
    for name in ["first", "second", "first"] {
        let calls: Vec<_> = (0..4).map(|_| tokio::spawn(node.call(&format!("/{name}?ms=700")).send())).collect();
        eventually("four are busy", async || node.stats(name).await.busy, |busy| *busy == 4).await;
        for call in calls {
            call.await.unwrap().ok();
        }
    }
    let idle = node.stats("first").await.idle + node.stats("second").await.idle;
    assert!(idle <= 4, "{idle} idle instances on a host that holds 4");
}
