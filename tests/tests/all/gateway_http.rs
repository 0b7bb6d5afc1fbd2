//! HTTP as it is on the wire: both versions on one port, connections that are kept, callers that are slow or odd.

use http::Method;
use samovar_tests::{Node, RawAnswer};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

fn is_hello(answer: &RawAnswer) {
    assert_eq!((answer.status(), answer.body.as_str()), (200, "hello\n"), "{answer:?}");
}

#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let mut raw = node.raw().await;
    for _ in 0..10 {
        raw.send(get("/hello")).await;
        is_hello(&raw.answer().await);
    }
    // A refusal does not end it either.
    raw.send(get("/nothing")).await;
    assert_eq!(raw.answer().await.status(), 404);
    raw.send(get("/hello")).await;
    is_hello(&raw.answer().await);
}

#[tokio::test]
async fn a_caller_can_ask_for_the_end_of_the_connection() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let mut raw = node.raw().await;
    raw.send("GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    is_hello(&raw.answer().await);
    assert_eq!(raw.rest().await, "");
    let mut raw = node.raw().await;
    raw.send("GET /hello HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    let answer = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello\n"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.deploy("sleep").await;
    let mut raw = node.raw().await;
    raw.send([get("/sleep?ms=300"), get("/hello"), get("/sleep?ms=1"), get("/hello")].concat()).await;
    assert_eq!(raw.answer().await.body, "slept 300\n");
    is_hello(&raw.answer().await);
    assert_eq!(raw.answer().await.body, "slept 1\n");
    is_hello(&raw.answer().await);
}

#[tokio::test]
async fn head_gets_the_headers_and_no_body() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let mut raw = node.raw().await;
    raw.send("HEAD /hello HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.header("content-type"), Some("text/plain; charset=utf-8"));
    // Were there a body, the next answer could not be read.
    raw.send(get("/hello")).await;
    is_hello(&raw.answer().await);
    assert_eq!(node.call("/hello").method(Method::HEAD).http2().send().await.ok(), "");
}

#[tokio::test]
async fn a_caller_that_expects_100_continue_gets_it_when_its_body_is_wanted() {
    let node = Node::start().await;
    node.deploy("length").await;
    let mut raw = node.raw().await;
    raw.send("POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
    let interim = raw.head().await;
    assert_eq!(interim.status(), 100);
    raw.send("body").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "4 bytes\n"));
}

#[tokio::test]
async fn a_function_that_answers_before_it_reads_needs_no_100_continue() {
    let node = Node::start().await;
    node.deploy("echo").await;
    let mut raw = node.raw().await;
    raw.send("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
    // A final status is as good as the interim one (RFC 9110, section 10.1.1).
    let head = raw.head().await;
    assert_eq!(head.status(), 200);
    raw.send("body").await;
    let body = raw.until("0\r\n\r\n").await;
    assert!(body.contains("body"), "{body}");
}

#[tokio::test]
async fn a_refusal_needs_no_100_continue() {
    let node = Node::start().await;
    let mut raw = node.raw().await;
    raw.send("POST /no HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(raw.answer().await.status(), 404);
}

#[tokio::test]
async fn http1_and_http2_are_spoken_on_the_same_port() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let first = node.call("/hello").send().await;
    let second = node.call("/hello").http2().send().await;
    assert_eq!((first.ok(), second.ok()), ("hello\n", "hello\n"));
    let facts = node.deploy("request-facts").await;
    assert_eq!(facts.function.urls[0], format!("http://{}/request-facts", node.gateway()));
    let facts = node.call("/request-facts").http2().send().await.json();
    assert_eq!(facts["authority"], node.gateway().to_string());
    assert_eq!(facts["scheme"], "http");
}

#[tokio::test]
async fn many_requests_share_one_http2_connection() {
    let node = Node::start().await;
    node.deploy("sleep").await;
    node.call("/sleep?ms=0").http2().send().await.ok();
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(node.call("/sleep?ms=500").http2().send())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().ok(), "slept 500\n");
    }
}

#[tokio::test]
async fn a_burst_over_http2_takes_only_the_instances_that_run() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.call("/hello").http2().send().await.ok();
    for _ in 0..5 {
        let calls: Vec<_> = (0..200).map(|_| tokio::spawn(node.call("/hello").http2().send())).collect();
        for call in calls {
            call.await.unwrap().ok();
        }
    }
    // Hello waits for nothing, so that each thread needs one at a time.
    let (made, threads) = (node.stats("hello").await.cold_starts, std::thread::available_parallelism().unwrap());
    assert!(made <= threads.get() as u64, "{made} instances for {threads} threads");
}

#[tokio::test]
async fn a_caller_that_sends_its_head_too_slowly_is_cut_off_and_others_are_not() {
    let node = Node::builder().arg("--header-timeout", "500ms").start().await;
    node.deploy("hello").await;
    let mut slow = node.raw().await;
    slow.send("GET /hello HTTP/1.1\r\nhost: ").await;
    let rest = tokio::spawn(async move {
        // A byte now and then does not help.
        while slow.try_send("x").await {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        slow.rest().await
    });
    while !rest.is_finished() {
        node.call("/hello").send().await.ok();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let rest = rest.await.unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_after_a_while() {
    let node = Node::builder().arg("--idle-timeout", "500ms").start().await;
    node.deploy("hello").await;
    node.deploy("sleep").await;
    let mut never_used = node.raw().await;
    assert_eq!(never_used.rest().await, "");
    let mut used = node.raw().await;
    used.send(get("/hello")).await;
    is_hello(&used.answer().await);
    // An answer that takes longer than the time-out is not idleness.
    used.send(get("/sleep?ms=1500")).await;
    assert_eq!(used.answer().await.body, "slept 1500\n");
    assert_eq!(used.rest().await, "");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_harms_nobody() {
    let node = Node::start().await;
    node.deploy("hello").await;
    for nonsense in
        ["\x16\x03\x01\x02\x00\x01\x00\x01", "HELLO\r\n\r\n", "GET /hello HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n\0\0"]
    {
        let mut raw = node.raw().await;
        raw.send(nonsense).await;
        // Half-closed by dropping would race with the answer: ask for the end instead.
        let answered = tokio::time::timeout(std::time::Duration::from_secs(2), raw.rest()).await;
        if let Ok(answer) = answered {
            assert!(!answer.contains(" 200 "), "{answer}");
        }
    }
    node.call("/hello").send().await.ok();
}

#[tokio::test]
async fn a_request_without_a_host_is_a_400() {
    let node = Node::start().await;
    node.deploy("hello").await;
    for head in ["GET /hello HTTP/1.1\r\n\r\n", "GET /hello HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"] {
        let mut raw = node.raw().await;
        raw.send(head).await;
        assert_eq!(raw.answer().await.status(), 400, "{head}");
    }
}

#[tokio::test]
async fn connections_past_the_limit_wait_until_one_is_closed() {
    let node = Node::builder().arg("--max-connections", "2").start().await;
    node.deploy("hello").await;
    let (mut first, mut second, mut third) = (node.raw().await, node.raw().await, node.raw().await);
    for raw in [&mut first, &mut second] {
        raw.send(get("/hello")).await;
        is_hello(&raw.answer().await);
    }
    third.send(get("/hello")).await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(500), third.answer()).await;
    assert!(early.is_err(), "{early:?}");
    first.close();
    is_hello(&third.answer().await);
    second.close();
}

#[tokio::test]
async fn running_out_of_file_descriptors_ends_nothing() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let mut node = Node::start().await;
    node.deploy("hello").await;
    let mut kept = node.raw().await;
    kept.send(get("/hello")).await;
    is_hello(&kept.answer().await);
    // As many as are open now and a few more.
    let pid = node.process().pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    let limit = Rlimit { current: Some(open + 4), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(node.raw().await);
    }
    for _ in 0..10 {
        kept.send(get("/hello")).await;
        is_hello(&kept.answer().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(crowd);
    let mut late = node.raw().await;
    late.send(get("/hello")).await;
    is_hello(&late.answer().await);
}
