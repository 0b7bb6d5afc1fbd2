//! What is turned away before a guest sees it: full queues, large bodies, large headers.

use bytes::Bytes;
use futures_util::stream;
use samovar_tests::{Node, eventually};

#[tokio::test]
async fn past_a_full_queue_calls_are_shed_with_503_and_retry_after() {
    let node = Node::start().await;
    node.function("sleep").with("scale.max_instances = 1\nscale.queue = 1\nscale.queue_timeout = '60s'").deploy().await;
    let running = tokio::spawn(node.call("/sleep?ms=4000").send());
    eventually("one call runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    let waiting = tokio::spawn(node.call("/sleep?ms=1").send());
    eventually("one call waits", async || node.stats("sleep").await.queued, |queued| *queued == 1).await;
    let shed = node.call("/sleep?ms=2").send().await;
    let problem = shed.problem(503, "queue-full", "platform");
    assert!(problem.detail.contains("1 waiting"), "{problem:?}");
    assert!(shed.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{shed:?}");
    assert_eq!(running.await.unwrap().ok(), "slept 4000\n");
    assert_eq!(waiting.await.unwrap().ok(), "slept 1\n");
    assert_eq!(node.stats("sleep").await.faults["queue-full"], 1);
}

#[tokio::test]
async fn a_call_waits_in_the_queue_no_longer_than_it_may() {
    let node = Node::start().await;
    node.function("sleep").with("scale.max_instances = 1\nscale.queue_timeout = '300ms'").deploy().await;
    let running = tokio::spawn(node.call("/sleep?ms=5000").send());
    eventually("one call runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    let shed = node.call("/sleep?ms=1").send().await;
    let problem = shed.problem(503, "queue-deadline", "platform");
    assert!(problem.detail.contains("300ms"), "{problem:?}");
    assert!(!shed.header("retry-after").is_empty());
    assert!(!running.is_finished(), "it did not wait for the instance");
    running.await.unwrap().ok();
}

#[tokio::test]
async fn without_a_queue_a_call_is_shed_at_once() {
    let node = Node::start().await;
    node.function("sleep").with("scale.max_instances = 1\nscale.queue = 0").deploy().await;
    let running = tokio::spawn(node.call("/sleep?ms=2000").send());
    eventually("one call runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    node.call("/sleep?ms=1").send().await.problem(503, "queue-full", "platform");
    running.await.unwrap().ok();
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_a_413() {
    let node = Node::start().await;
    node.function("length").with("limits.request_body = '1KiB'").deploy().await;
    assert_eq!(node.call("/length").body(vec![b'x'; 1024]).send().await.ok(), "1024 bytes\n");
    let answer = node.call("/length").body(vec![b'x'; 1025]).send().await;
    let problem = answer.problem(413, "body-too-large", "platform");
    assert!(problem.detail.contains("1KiB"), "{problem:?}");
    assert_eq!(node.call("/length").body("x").send().await.ok(), "1 bytes\n");
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_a_413() {
    let node = Node::start().await;
    node.function("length").with("limits.request_body = '1KiB'").deploy().await;
    let body = stream::iter(vec![Bytes::from_static(&[b'x'; 512]); 8]);
    node.call("/length").http2().stream(body).send().await.problem(413, "body-too-large", "platform");
    // Over HTTP/1.1 the connection ends with the refusal, while more may be on its way: not every client looks for an
    // answer then, but it is there.
    let mut raw = node.raw().await;
    raw.send("POST /length HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    for _ in 0..8 {
        if !raw.try_send(&chunk).await {
            break;
        }
    }
    let answer = raw.answer().await;
    assert_eq!(answer.status(), 413, "{answer:?}");
    assert!(answer.body.contains("/problems/body-too-large"), "{answer:?}");
    let body = stream::iter(vec![Bytes::from_static(&[b'x'; 512]); 2]);
    assert_eq!(node.call("/length").stream(body).send().await.ok(), "1024 bytes\n");
}

#[tokio::test]
async fn headers_that_are_too_large_are_a_431() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.call("/hello").header("x-large", &"x".repeat(20_000)).send().await.ok();
    let refused = node.call("/hello").header("x-large", &"x".repeat(40_000)).send().await;
    refused.problem(431, "headers-too-large", "platform");
    let mut call = node.call("/hello").http2();
    for i in 0..40 {
        call = call.header(&format!("x-large-{i}"), &"x".repeat(1000));
    }
    // Over HTTP/2 the stream may be refused by the protocol itself.
    if let Ok(answer) = call.try_send().await {
        assert_eq!(answer.status, 431);
    }
    node.call("/hello").http2().send().await.ok();
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let mut raw = node.raw().await;
    raw.send("GET /hello HTTP/1.1\r\nhost: x\r\n").await;
    let line = format!("x-more: {}\r\n", "x".repeat(1000));
    let mut sent = 0;
    while sent < 4 << 20 && raw.try_send(&line).await {
        sent += line.len();
    }
    let answer = raw.rest().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    node.call("/hello").send().await.ok();
}
