//! The same behaviours for guests of WASI 0.3, and what only they can: several requests at once in one instance.

use std::time::Duration;

use http::HeaderMap;
use samovar_model::{ComponentKind, LogStream};
use samovar_tests::{Node, eventually};
use tokio::time::Instant;

#[tokio::test]
async fn it_is_told_from_the_component() {
    let node = Node::start().await;
    let deployed = node.deploy("hello3").await;
    assert_eq!(deployed.function.kind, ComponentKind::Wasi03);
    assert_eq!(node.deploy("hello").await.function.kind, ComponentKind::Wasi02);
    assert_eq!(node.call("/hello3").send().await.cold(), "hello from wasi 0.3\n");
    node.settled("hello3").await;
    assert_eq!(node.call("/hello3").send().await.warm(), "hello from wasi 0.3\n");
}

#[tokio::test]
async fn instances_are_reused_or_fresh_as_the_settings_say() {
    let node = Node::start().await;
    node.deploy("counter3").await;
    for count in ["1", "2", "3"] {
        assert_eq!(node.call("/counter3").send().await.ok(), count);
    }
    node.function("fresh").guest("counter3").with("isolation = 'request'").deploy().await;
    node.function("twice").guest("counter3").with("scale.max_requests = 2").deploy().await;
    for count in ["1", "2", "1", "2"] {
        assert_eq!(node.call("/fresh").send().await.ok(), "1");
        assert_eq!(node.call("/twice").send().await.ok(), count);
    }
}

#[tokio::test]
async fn what_a_guest_keeps_of_each_request_never_adds_up_to_a_crash() {
    let node = Node::start().await;
    node.function("hello3").with("scale.concurrency = 4\nscale.max_instances = 1").deploy().await;
    let callers = (0..4).map(|_| {
        let call = node.call_maker();
        // Together more than an instance may have handles, of which this guest keeps one of each request.
        tokio::spawn(async move {
            for _ in 0..1_500 {
                assert_eq!(call("/hello3").send().await.ok(), "hello from wasi 0.3\n");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert!(node.stats("hello3").await.cold_starts >= 12);
}

#[tokio::test]
async fn one_instance_takes_as_many_requests_at_once_as_its_concurrency_says() {
    let node = Node::start().await;
    node.function("sleep3").with("scale.concurrency = 8\nscale.max_instances = 1").deploy().await;
    node.call("/sleep3?ms=0").send().await.ok();
    let begun = Instant::now();
    let calls: Vec<_> = (0..8).map(|_| tokio::spawn(node.call("/sleep3?ms=2000").send())).collect();
    let mut most = 0;
    for call in calls {
        most = most.max(call.await.unwrap().ok().parse().unwrap());
    }
    assert_eq!(most, 8, "all were in the instance together");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(node.stats("sleep3").await.cold_starts, 1);
}

#[tokio::test]
async fn with_the_default_concurrency_requests_do_not_meet_in_an_instance() {
    let node = Node::start().await;
    node.deploy("sleep3").await;
    let calls: Vec<_> = (0..6).map(|_| tokio::spawn(node.call("/sleep3?ms=500").send())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().ok(), "1");
    }
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let node = Node::start().await;
    node.deploy("echo3").await;
    node.deploy("trailers3").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    for path in ["/echo3", "/echo3?direct"] {
        let answer = node.call(path).body(bytes.clone()).send().await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == bytes, "{path}: {} bytes came back", answer.body.len());
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "def456".parse().unwrap());
        let answer = node.call(path).http2().body_with_trailers("body", trailers).send().await;
        assert_eq!(answer.ok(), "body");
        assert_eq!(answer.trailers["x-checksum"], "def456", "{path}");
    }
    let answer = node.call("/trailers3").http2().send().await;
    assert_eq!(answer.ok(), "with trailers\n");
    assert_eq!(answer.trailers["x-checksum"], "abc123");
}

#[tokio::test]
async fn the_first_chunk_arrives_while_the_guest_still_makes_the_others() {
    let node = Node::start().await;
    node.deploy("stream3").await;
    node.call("/stream3?count=1").send().await.ok();
    let begun = Instant::now();
    let mut answer = node.call("/stream3?count=2&ms=2500").open().await;
    assert_eq!(answer.chunk().await.unwrap(), "chunk 0\n");
    let first = begun.elapsed();
    assert_eq!(answer.chunk().await.unwrap(), "chunk 1\n");
    assert_eq!(answer.chunk().await, None);
    assert!(first + Duration::from_secs(1) < begun.elapsed(), "first {first:?}, last {:?}", begun.elapsed());
}

#[tokio::test]
async fn crashes_are_502_and_the_next_call_finds_a_new_instance() {
    let node = Node::start().await;
    for guest in ["trap3", "panic3"] {
        node.deploy(guest).await;
        node.call(&format!("/{guest}?calm")).send().await.ok();
        node.call(&format!("/{guest}")).send().await.problem(502, "trap", "function");
        assert_eq!(node.call(&format!("/{guest}?calm")).send().await.cold(), "calm\n");
    }
    let crash = async || node.logs("trap3").await.into_iter().find(|line| line.stream == LogStream::Crash);
    let crash = eventually("the crash in the log", crash, Option::is_some).await.unwrap();
    assert!(crash.text.contains("deep_in_the_guest"), "{}", crash.text);
    let said = async || node.logs("panic3").await;
    let is_there =
        |lines: &Vec<samovar_model::LogLine>| lines.iter().any(|line| line.text.contains("the kettle is dry"));
    eventually("the panic's message in the log", said, is_there).await;
}

#[tokio::test]
async fn past_the_limits_of_time_cpu_and_memory_calls_end_as_for_0_2() {
    let node = Node::start().await;
    node.function("never3").with("limits.timeout = '400ms'").deploy().await;
    node.function("spin3").with("limits.cpu = '300ms'\nlimits.timeout = '50s'").deploy().await;
    node.function("allocate3").with("limits.memory = '32MiB'").deploy().await;
    node.deploy("hello3").await;
    node.call("/never3").send().await.problem(504, "deadline", "function");
    let spinning = tokio::spawn(node.call("/spin3").send());
    node.call("/hello3").send().await.ok();
    spinning.await.unwrap().problem(504, "cpu-budget", "function");
    node.call("/allocate3?mib=16").send().await.ok();
    node.call("/allocate3?mib=64").send().await.problem(502, "out-of-memory", "function");
    node.call("/allocate3?mib=16").send().await.ok();
}

/// In wasmtime-wasi-http 48.0.8 what went wrong is lost when the caller has not yet taken what came before.
#[tokio::test]
async fn an_answer_that_is_shorter_than_declared_is_never_taken_for_a_good_one_however_often_it_comes() {
    let node = Node::start().await;
    node.deploy("declared-length3").await;
    for _ in 0..400 {
        // Broken off, or said before it began.
        if let Ok(answer) = node.call("/declared-length3?declared=10&actual=5").try_send().await {
            answer.problem(502, "invalid-response", "function");
        }
    }
    assert_eq!(node.stats("declared-length3").await.faults.get("invalid-response"), Some(&400));
}

#[tokio::test]
async fn an_instance_that_lost_its_caller_is_not_used_again() {
    let node = Node::start().await;
    node.function("counter3").with("scale.max_instances = 1").deploy().await;
    assert_eq!(node.call("/counter3").send().await.ok(), "1");
    let caller = node.raw_get("/counter3?ms=600000").await;
    eventually("the call is running", async || node.stats("counter3").await.busy, |busy| *busy == 1).await;
    caller.close();
    let stats = async || node.stats("counter3").await;
    eventually("the instance is gone", stats, |stats| stats.busy == 0 && stats.idle == 0).await;
    assert_eq!(node.call("/counter3").send().await.ok(), "1");
}

#[tokio::test]
async fn the_guest_is_told_the_facts_of_the_request() {
    let node = Node::start().await;
    node.deploy("request-facts3").await;
    let call = node.call("/request-facts3/a?x=1").header("x-samovar-origin", "forged").header("x-mine", "yes");
    let answer = call.send().await;
    let lines: Vec<_> = answer.ok().lines().collect();
    assert_eq!(lines[0], "Method::Get");
    assert!(lines[1].to_ascii_lowercase().contains("http"), "{lines:?}");
    assert_eq!(lines[2], node.gateway().to_string());
    assert_eq!(lines[3], "/request-facts3/a?x=1");
    assert!(lines.contains(&"x-mine: yes"), "{lines:?}");
    assert!(lines.iter().any(|line| *line == format!("x-request-id: {}", answer.header("x-request-id"))), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("x-samovar-")), "{lines:?}");
}

#[tokio::test]
async fn what_it_says_is_in_the_log() {
    let node = Node::start().await;
    node.deploy("chatty3").await;
    node.call("/chatty3?label=one&lines=2").header("x-request-id", "id-one").send().await.ok();
    let lines = eventually("four lines", async || node.logs("chatty3").await, |lines| lines.len() == 4).await;
    for text in ["one out 0", "one err 0", "one out 1", "one err 1"] {
        let line = lines.iter().find(|line| line.text == text).unwrap_or_else(|| panic!("{text} in {lines:?}"));
        assert_eq!(line.request_id.as_deref(), Some("id-one"));
    }
}
