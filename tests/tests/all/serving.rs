//! A call and its answer: cold and warm, reuse and isolation, what the guest is told.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};
use samovar_tests::Node;
use serde_json::Value;

#[tokio::test]
async fn the_first_call_is_cold_and_the_next_one_warm_in_the_same_instance() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let first = node.call("/hello").send().await;
    assert_eq!(first.cold(), "hello\n");
    assert_eq!(first.header("x-samovar-revision"), "1");
    let second = node.call("/hello/with/more").send().await;
    assert_eq!(second.warm(), "hello\n");
    assert_eq!(second.header("x-samovar-instance-id"), first.header("x-samovar-instance-id"));
}

#[tokio::test]
async fn an_instance_answers_one_call_after_the_other() {
    let node = Node::start().await;
    node.deploy("counter").await;
    for count in 1..=5 {
        assert_eq!(node.call("/counter").send().await.ok(), count.to_string());
    }
}

#[tokio::test]
async fn isolation_by_request_makes_a_fresh_instance_every_time() {
    let node = Node::start().await;
    node.function("counter").with("isolation = 'request'").deploy().await;
    let mut instances = Vec::new();
    for _ in 0..5 {
        let answer = node.call("/counter").send().await;
        assert_eq!(answer.ok(), "1");
        instances.push(answer.header("x-samovar-instance-id").to_owned());
    }
    instances.sort();
    instances.dedup();
    assert_eq!(instances.len(), 5);
}

#[tokio::test]
async fn an_instance_is_replaced_after_max_requests() {
    let node = Node::start().await;
    node.function("counter").with("scale.max_requests = 2").deploy().await;
    let mut counts = Vec::new();
    for _ in 0..5 {
        counts.push(node.call("/counter").send().await.ok().to_owned());
    }
    assert_eq!(counts, ["1", "2", "1", "2", "1"]);
}

#[tokio::test]
async fn a_body_comes_back_as_it_was_sent() {
    let node = Node::start().await;
    node.deploy("echo").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let answer = node.call("/echo").body(bytes.clone()).send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == bytes, "{} bytes came back", answer.body.len());
    assert_eq!(node.call("/echo").body("").send().await.ok(), "");
    assert_eq!(node.call("/echo").send().await.ok(), "");
}

#[tokio::test]
async fn a_body_may_be_written_before_the_response_is_set() {
    let node = Node::start().await;
    node.deploy("write-before-set").await;
    for _ in 0..3 {
        assert_eq!(node.call("/write-before-set").send().await.ok(), "before, after\n");
    }
}

#[tokio::test]
async fn a_guest_goes_on_after_its_answer_was_sent_and_is_reused_after_that() {
    let node = Node::start().await;
    node.function("after").with("scale.max_instances = 1").deploy().await;
    let first = node.call("/after?ms=1000&label=first").send().await;
    assert_eq!(first.ok(), "answered\n");
    assert!(node.logs("after").await.iter().all(|line| line.text != "after first"), "the answer did not wait");
    let second = node.call("/after?ms=0&label=second").send().await;
    assert_eq!(second.ok(), "answered\n");
    assert_eq!(second.header("x-samovar-instance-id"), first.header("x-samovar-instance-id"));
    let said = async || {
        let lines = node.logs("after").await;
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>()
    };
    samovar_tests::eventually("both lines", said, |lines| *lines == ["after first", "after second"]).await;
}

#[tokio::test]
async fn a_body_that_is_never_read_does_no_harm() {
    let node = Node::start().await;
    node.deploy("read-never").await;
    for size in [0, 1_000, 5_000_000] {
        // The platform may close the connection instead of reading all of it, but not before the answer is out.
        let answer = node.call("/read-never").body(vec![b'x'; size]).try_send().await;
        if let Ok(answer) = &answer {
            assert_eq!(answer.ok(), "not read\n");
        }
        assert!(answer.is_ok() || size == 5_000_000, "{answer:?}");
    }
    assert_eq!(node.call("/read-never").send().await.ok(), "not read\n");
}

#[tokio::test]
async fn an_answer_may_have_large_headers() {
    let node = Node::start().await;
    node.deploy("big-headers").await;
    let answer = node.call("/big-headers?bytes=16000").send().await;
    assert_eq!(answer.ok(), "big headers\n");
    assert_eq!(answer.header("x-big-15").len(), 1000);
}

#[tokio::test]
async fn the_guest_sees_its_env_and_no_other() {
    let node = Node::start().await;
    node.function("env").with("env.GREETING = 'hei'\nenv.EMPTY = ''").deploy().await;
    assert_eq!(node.call("/env?GREETING").send().await.ok(), "hei");
    assert_eq!(node.call("/env").send().await.ok(), "EMPTY=\nGREETING=hei\n");
    assert_eq!(node.call("/env?PATH").send().await.status, 404);
}

#[tokio::test]
async fn the_guest_is_told_the_facts_of_the_request() {
    let node = Node::start().await;
    node.deploy("request-facts").await;
    let call = node.call("/request-facts/a%20b?x=1&y=%C3%A4").method(Method::PATCH);
    let answer = call.header("x-mine", "yes").header("x-request-id", "my-own-id").send().await;
    let facts = answer.json();
    assert_eq!(facts["method"], "PATCH");
    assert_eq!(facts["scheme"], "http");
    assert_eq!(facts["authority"], node.gateway().to_string());
    assert_eq!(facts["path"], "/request-facts/a%20b?x=1&y=%C3%A4");
    let headers = headers(&facts);
    assert_eq!(headers["x-mine"], "yes");
    assert_eq!(headers["x-request-id"], "my-own-id");
    assert!(headers["forwarded"].contains("for=127.0.0.1"), "{headers:?}");
    assert_eq!(answer.header("x-request-id"), "my-own-id");
}

#[tokio::test]
async fn headers_that_only_samovar_may_send_are_dropped() {
    let node = Node::start().await;
    node.deploy("request-facts").await;
    let call = node.call("/request-facts").header("x-samovar-origin", "forged").header("X-Samovar-Anything", "forged");
    let facts = call.send().await.json();
    assert!(headers(&facts).keys().all(|name| !name.starts_with("x-samovar-")), "{facts}");
}

#[tokio::test]
async fn a_request_without_a_usable_id_gets_one() {
    let node = Node::start().await;
    node.deploy("request-facts").await;
    let first = node.call("/request-facts").send().await;
    let second = node.call("/request-facts").header("x-request-id", &"x".repeat(500)).send().await;
    let ids = [first.header("x-request-id"), second.header("x-request-id")];
    assert!(ids.iter().all(|id| id.len() >= 16 && id.len() < 100), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
    assert_eq!(headers(&first.json())["x-request-id"], ids[0]);
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http1() {
    let node = Node::start().await;
    node.deploy("echo").await;
    node.deploy("trailers").await;
    let answer = node.call("/trailers").header("te", "trailers").send().await;
    assert_eq!(answer.ok(), "with trailers\n");
    assert_eq!(answer.trailers["x-checksum"], "abc123");

    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "def456".parse().unwrap());
    let call = node.call("/echo").header("trailer", "x-checksum").header("te", "trailers");
    let answer = call.body_with_trailers("body", trailers).send().await;
    assert_eq!(answer.ok(), "body");
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http2() {
    let node = Node::start().await;
    node.deploy("echo").await;
    node.deploy("trailers").await;
    let answer = node.call("/trailers").http2().send().await;
    assert_eq!(answer.ok(), "with trailers\n");
    assert_eq!(answer.trailers["x-checksum"], "abc123");

    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "def456".parse().unwrap());
    let answer = node.call("/echo").http2().body_with_trailers("body", trailers).send().await;
    assert_eq!(answer.ok(), "body");
    assert_eq!(answer.trailers["x-checksum"], "def456");
}

fn headers(facts: &Value) -> BTreeMap<String, String> {
    let pairs = facts["headers"].as_array().unwrap().iter();
    pairs.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned())).collect()
}
