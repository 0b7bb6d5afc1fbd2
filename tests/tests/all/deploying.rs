//! The deploys of the failure tests, on a platform that does not fail: what they call lost is lost.

use std::time::Duration;

use samovar_tests::trial::{Deploying, Marked, Plan};
use samovar_tests::{Node, eventually};

#[tokio::test]
async fn deploys_that_go_on_are_all_there_and_one_that_was_undone_is_missed() {
    let node = Node::start().await;
    let plan = Plan { deployer: 0, pause: Duration::from_millis(10), wait_each: 0 };
    let deploying = Deploying::start(node.api(), node.data_dir(), plan).await;
    eventually("50 deploys", async || deploying.journal().acknowledged(), |number| *number > 50).await;
    let journal = deploying.stop().await;
    let gateways = [node.gateway()];
    let marked = Marked::of(&journal, &node.api(), &gateways).await;
    assert_eq!((marked.acknowledged, marked.refused), (journal.acknowledged(), 0));
    assert!(marked.lost.is_empty(), "{marked:?}");

    node.rollback("mark-0-3", None).await.ok();
    let lost = Marked::of(&journal, &node.api(), &gateways).await.lost;
    assert!(lost.len() == 1 && lost[0].contains("mark-0-3"), "{lost:?}");
}
