//! What a guest has: clocks and random numbers. What it has not: files, sockets.

use std::time::{SystemTime, UNIX_EPOCH};

use samovar_tests::{Backend, Node};

#[tokio::test]
async fn there_are_clocks_and_random_numbers_in_every_instance_others() {
    let node = Node::start().await;
    node.function("clock").with("isolation = 'request'").deploy().await;
    let mut numbers = Vec::new();
    for _ in 0..5 {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let answer = node.call("/clock").send().await;
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let (time, random) = answer.ok().split_once(' ').unwrap();
        assert!((before..=after).contains(&time.parse().unwrap()), "{before} {time} {after}");
        numbers.push(random.parse::<u64>().unwrap());
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 5, "instances share their random numbers");
}

#[tokio::test]
async fn there_are_no_files() {
    let node = Node::start().await;
    node.deploy("reach").await;
    let answer = node.call("/reach").send().await;
    let lines: Vec<_> = answer.ok().lines().collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        assert!(line.contains(": Err("), "{line}");
    }
}

#[tokio::test]
async fn there_are_no_sockets() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    let address = backend.origin().strip_prefix("http://").unwrap().to_owned();
    // Allowed destinations are for requests, not for sockets.
    match node.function("connect").with("allow_outbound = ['*']\nallow_private = true").try_deploy().await {
        Err(refused) => assert!(refused.problem.detail.contains("wasi:sockets"), "{refused:?}"),
        Ok(_) => {
            let answer = node.call(&format!("/connect?to={address}")).send().await;
            assert!(answer.status == 502 || answer.text().starts_with("Err("), "{}", answer.text());
        }
    }
    assert_eq!(backend.connections(), 0);
}
