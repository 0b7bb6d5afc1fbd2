//! What a function said and how it fared.

use samovar_model::{LogLine, LogStream};
use samovar_tests::{Node, eventually};

async fn logs(node: &Node, name: &str, count: usize) -> Vec<LogLine> {
    eventually("the log's lines", async || node.logs(name).await, |lines| lines.len() >= count).await
}

#[tokio::test]
async fn every_line_is_attributed_to_its_request_stream_revision_and_instance() {
    let node = Node::start().await;
    node.deploy("chatty").await;
    let begun = jiff_now();
    let mut instances = Vec::new();
    for i in 0..4 {
        let call = node.call(&format!("/chatty?label=call{i}&lines=3")).header("x-request-id", &format!("id-{i}"));
        instances.push(call.send().await.header("x-samovar-instance-id").to_owned());
    }
    let lines = logs(&node, "chatty", 24).await;
    assert_eq!(lines.len(), 24);
    for line in &lines {
        let (label, rest) = line.text.split_once(' ').unwrap();
        let i: usize = label.strip_prefix("call").unwrap().parse().unwrap();
        assert_eq!(line.request_id.as_deref(), Some(format!("id-{i}").as_str()));
        assert_eq!(line.stream, if rest.starts_with("out") { LogStream::Stdout } else { LogStream::Stderr });
        assert_eq!((line.revision, line.instance.to_string()), (1, instances[i].clone()));
        assert!(line.time.as_millisecond() >= begun, "{line:?}");
    }
    // Within a stream the order is the guest's.
    let out: Vec<_> = lines.iter().filter(|line| line.stream == LogStream::Stdout).map(|line| &line.text).collect();
    assert_eq!(out[..3], ["call0 out 0", "call0 out 1", "call0 out 2"]);
    assert!(lines.is_sorted_by_key(|line| line.time));
}

#[tokio::test]
async fn lines_of_invocations_at_the_same_time_do_not_mix() {
    let node = Node::start().await;
    node.deploy("chatty").await;
    let calls: Vec<_> = (0..8)
        .map(|i| {
            let call = node.call(&format!("/chatty?label=call{i}&lines=50"));
            tokio::spawn(call.header("x-request-id", &format!("id-{i}")).send())
        })
        .collect();
    for call in calls {
        call.await.unwrap().ok();
    }
    for line in logs(&node, "chatty", 800).await {
        let i = line.text.strip_prefix("call").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        assert_eq!(line.request_id, Some(format!("id-{i}")), "{}", line.text);
    }
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let node = Node::start().await;
    node.deploy("chatty").await;
    node.call("/chatty?label=old").send().await.ok();
    logs(&node, "chatty", 2).await;
    node.call("/chatty?label=new").send().await.ok();
    let since = logs(&node, "chatty", 4).await[2].time.to_string();
    let later = node.control_call(&format!("/v1/functions/chatty/logs?since={since}")).send().await;
    assert_eq!(later.ok().lines().count(), 2, "{}", later.text());
    assert!(later.text().contains("new out 0") && !later.text().contains("old"), "{}", later.text());
    let all = node.control_call("/v1/functions/chatty/logs?since=10m").send().await;
    assert_eq!(all.ok().lines().count(), 4);
    assert_eq!(node.control_call("/v1/functions/chatty/logs?since=ever").send().await.status, 400);
}

#[tokio::test]
async fn a_followed_log_goes_on_with_what_comes() {
    let node = Node::start().await;
    node.deploy("chatty").await;
    node.call("/chatty?label=past").send().await.ok();
    logs(&node, "chatty", 2).await;
    let mut following = node.control_call("/v1/functions/chatty/logs?follow=true").open().await;
    let mut seen = String::new();
    while seen.lines().count() < 2 {
        seen += std::str::from_utf8(&following.chunk().await.unwrap()).unwrap();
    }
    node.call("/chatty?label=present").send().await.ok();
    while !seen.contains("present err 0") {
        seen += std::str::from_utf8(&following.chunk().await.unwrap()).unwrap();
    }
    assert!(seen.contains("past out 0") && seen.contains("present out 0"), "{seen}");
}

#[tokio::test]
async fn a_flood_is_kept_within_bounds() {
    let node = Node::start().await;
    node.function("chatty").with("limits.cpu = '60s'\nlimits.timeout = '60s'").deploy().await;
    let label = "x".repeat(500);
    for _ in 0..8 {
        node.call(&format!("/chatty?label={label}&lines=4000")).send().await.ok();
    }
    // What comes too fast is dropped; once it is quiet again lines are kept as ever.
    let last = async || {
        node.call("/chatty?label=the-last").send().await.ok();
        node.logs("chatty").await.iter().any(|line| line.text == "the-last out 0")
    };
    eventually("the last line", last, |there| *there).await;
    let kept = node.logs_bytes();
    assert!((1 << 20..=8 << 20).contains(&kept), "{kept} bytes of logs are kept");
}

#[tokio::test]
async fn statistics_count_invocations_faults_and_answers() {
    let node = Node::start().await;
    node.deploy("trap").await;
    node.call("/trap?calm").send().await.ok();
    let stats = node.stats("trap").await;
    assert_eq!((stats.invocations, stats.cold_starts, stats.busy, stats.idle), (1, 1, 0, 1));
    for _ in 0..3 {
        node.call("/trap").send().await;
        node.call("/trap?calm").send().await.ok();
    }
    let stats = node.stats("trap").await;
    assert_eq!(stats.invocations, 7);
    assert_eq!(stats.faults.get("trap"), Some(&3));
    assert_eq!(stats.responses.get("2xx"), Some(&4));
    assert_eq!(stats.cold_starts, 4);
    assert!(stats.p50_micros.unwrap() > 0 && stats.p99_micros.unwrap() >= stats.p50_micros.unwrap(), "{stats:?}");
    let all = node.control_call("/v1/stats").send().await.json();
    assert_eq!(all["functions"][0]["name"], "trap");
    assert_eq!(all["functions"][0]["invocations"], 7);
}

#[tokio::test]
async fn metrics_are_in_prometheus_form() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.deploy("trap").await;
    node.call("/hello").send().await.ok();
    node.call("/trap").send().await;
    node.call("/nothing").send().await;
    let answer = node.control_call("/metrics").send().await;
    let text = answer.ok();
    for (line, word) in [("function=\"hello\"", "hello"), ("trap", "trap"), ("# TYPE", "types"), ("samovar_", "prefix")]
    {
        assert!(text.contains(line), "{word} in {text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (_, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

fn jiff_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
