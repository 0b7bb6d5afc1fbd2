//! Deploys, rollbacks and deletes: atomic, and no request is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use samovar_tests::{Node, eventually, guest, with_custom_section};

/// Deploys `env` with this value of `V`.
async fn deploy(node: &Node, value: usize) -> samovar_model::api::Deployed {
    node.function("env").with(&format!("env.V = '{value}'")).deploy().await
}

#[tokio::test]
async fn a_deploy_tells_what_it_did() {
    let node = Node::start().await;
    let deployed = node.deploy("hello").await;
    assert!(deployed.changed);
    assert_eq!(deployed.function.name.as_str(), "hello");
    assert_eq!(deployed.function.revision.0, 1);
    assert_eq!(deployed.function.urls[0], format!("http://{}/hello", node.gateway()));
    assert_eq!(deployed.function.size_bytes, std::fs::metadata(guest("hello")).unwrap().len());
}

#[tokio::test]
async fn the_same_bytes_and_settings_make_no_new_revision() {
    let node = Node::start().await;
    deploy(&node, 1).await;
    let again = deploy(&node, 1).await;
    assert!(!again.changed);
    assert_eq!(again.function.revision.0, 1);
    let other_settings = deploy(&node, 2).await;
    assert!(other_settings.changed);
    assert_eq!(other_settings.function.revision.0, 2);
    let bytes = with_custom_section(&std::fs::read(guest("env")).unwrap(), "other bytes");
    let other_bytes = node.function("env").component(bytes).with("env.V = '2'").deploy().await;
    assert_eq!((other_bytes.changed, other_bytes.function.revision.0), (true, 3));
    assert_eq!(node.call("/env?V").send().await.ok(), "2");
}

#[tokio::test]
async fn under_load_no_request_is_lost_and_after_the_acknowledgement_only_the_new_revision_answers() {
    const DEPLOYS: usize = 12;
    let node = Node::start().await;
    deploy(&node, 0).await;
    let (begun, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (begun, acknowledged, done) = (begun.clone(), acknowledged.clone(), done.clone());
            let call = node.call_maker();
            tokio::spawn(async move {
                let mut answered = 0;
                while !done.load(SeqCst) {
                    let at_least = acknowledged.load(SeqCst);
                    let answer = call("/env?V").send().await;
                    let at_most = begun.load(SeqCst);
                    let value: usize = answer.ok().parse().unwrap();
                    assert!((at_least..=at_most).contains(&value), "{value} not in {at_least}..={at_most}");
                    assert_eq!(answer.header("x-samovar-revision"), (value + 1).to_string());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for value in 1..=DEPLOYS {
        begun.store(value, SeqCst);
        deploy(&node, value).await;
        acknowledged.store(value, SeqCst);
        // The next deploy comes when the new revision has answered a little.
        for _ in 0..5 {
            assert_eq!(node.call("/env?V").send().await.ok(), value.to_string());
        }
    }
    done.store(true, SeqCst);
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    assert!(answered > DEPLOYS, "{answered} calls");
}

#[tokio::test]
async fn a_request_that_runs_on_the_old_revision_finishes_there() {
    let node = Node::start().await;
    node.deploy("sleep").await;
    let old = tokio::spawn(node.call("/sleep?ms=2500").send());
    eventually("it runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    node.function("sleep").with("env.V = '2'").deploy().await;
    let new = node.call("/sleep?ms=0").send().await;
    assert_eq!((new.ok(), new.header("x-samovar-revision")), ("slept 0\n", "2"));
    assert!(!old.is_finished());
    let old = old.await.unwrap();
    assert_eq!((old.ok(), old.header("x-samovar-revision")), ("slept 2500\n", "1"));
}

#[tokio::test]
async fn instances_of_the_old_revision_go() {
    let node = Node::start().await;
    deploy(&node, 1).await;
    node.call("/env").send().await.ok();
    assert_eq!(node.stats("env").await.idle, 1);
    deploy(&node, 2).await;
    eventually("the old instance goes", async || node.stats("env").await.idle, |idle| *idle == 0).await;
}

#[tokio::test]
async fn a_rollback_makes_an_older_revision_answer() {
    let node = Node::start().await;
    for value in 1..=3 {
        deploy(&node, value).await;
    }
    node.rollback("env", None).await.ok();
    assert_eq!(node.call("/env?V").send().await.ok(), "2");
    node.rollback("env", Some(1)).await.ok();
    assert_eq!(node.call("/env?V").send().await.ok(), "1");
    node.rollback("env", Some(3)).await.ok();
    assert_eq!(node.call("/env?V").send().await.ok(), "3");
    assert_eq!(node.revisions("env").await, [3, 2, 1]);
    let missing = node.rollback("env", Some(9)).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains('9'), "{}", missing.text());
    // A number is never used twice.
    node.rollback("env", Some(1)).await.ok();
    assert_eq!(deploy(&node, 4).await.function.revision.0, 4);
}

#[tokio::test]
async fn there_is_nothing_before_the_first_revision() {
    let node = Node::start().await;
    deploy(&node, 1).await;
    let refused = node.rollback("env", None).await;
    assert_eq!(refused.status, 404);
    assert_eq!(node.call("/env?V").send().await.ok(), "1");
}

#[tokio::test]
async fn the_last_ten_older_revisions_are_kept() {
    let node = Node::start().await;
    for value in 1..=14 {
        deploy(&node, value).await;
    }
    let kept = node.revisions("env").await;
    assert_eq!(kept.first(), Some(&14));
    assert!(kept.len() == 10 || kept.len() == 11, "{kept:?}");
    assert!(kept.is_sorted_by(|a, b| a > b), "{kept:?}");
    let oldest = *kept.last().unwrap();
    node.rollback("env", Some(oldest)).await.ok();
    assert_eq!(node.call("/env?V").send().await.ok(), oldest.to_string());
    assert_eq!(node.rollback("env", Some(1)).await.status, 404);
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_can_be_deployed_again() {
    let node = Node::start().await;
    deploy(&node, 1).await;
    node.call("/env?V").send().await.ok();
    assert_eq!(node.delete("env").await.status, 204);
    node.call("/env?V").send().await.problem(404, "no-route", "platform");
    assert_eq!(node.control_call("/v1/functions/env").send().await.status, 404);
    assert_eq!(node.delete("env").await.status, 404);
    let again = deploy(&node, 2).await;
    assert!(again.function.revision.0 > 1, "revision numbers are not used again: {again:?}");
    assert_eq!(node.call("/env?V").send().await.ok(), "2");
}

#[tokio::test]
async fn a_refused_deploy_changes_nothing() {
    let node = Node::start().await;
    deploy(&node, 1).await;
    for settings in ["limits.memory = '64KiB'", "scale.concurrency = 2", "scale.min_warm = 200"] {
        let refused = node.function("env").with("env.V = '2'").with(settings).try_deploy().await;
        assert!(refused.is_err(), "{settings}: {refused:?}");
        assert_eq!(node.call("/env?V").send().await.ok(), "1");
    }
    assert_eq!(node.revisions("env").await, [1]);
}
