//! Logs, statistics, metrics, and how serving ends.

use std::time::Duration;

use samovar_model::api::{NamedStats, StatsList};
use samovar_model::{FunctionStats, LogLevel, LogLine, LogStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Api, TOKEN};

fn line(time: &str, text: &str) -> LogLine {
    let time = time.parse().unwrap();
    LogLine {
        time,
        revision: 1,
        instance: 2,
        request_id: None,
        stream: LogStream::Stdout,
        level: None,
        context: None,
        fields: None,
        text: text.to_owned(),
    }
}

fn stats() -> FunctionStats {
    FunctionStats {
        invocations: 10,
        faults: [("trap".to_owned(), 2)].into(),
        responses: [("2xx".to_owned(), 8)].into(),
        p50_micros: Some(150),
        p99_micros: Some(900),
        total_micros: 2_500_000,
        histogram: vec![(100, 3), (1000, 9)],
        busy: 1,
        idle: 4,
        cold_starts: 5,
        queued: 6,
    }
}

async fn called() -> Api {
    let api = Api::start();
    api.deploy("a", "0.2 one").await;
    api.platform.stats.lock().unwrap().insert("a".to_owned(), stats());
    *api.platform.lines.lock().unwrap() =
        vec![line("2026-01-01T00:00:00Z", "old"), line("2999-01-01T00:00:00Z", "from the future")];
    api
}

#[tokio::test]
async fn logs_are_json_lines_and_can_begin_late() {
    let api = called().await;
    let texts = async |path: &str| {
        let answer = api.get(path).await;
        assert_eq!(answer.headers["content-type"], "application/x-ndjson");
        let read = |line: &str| serde_json::from_str::<LogLine>(line).unwrap().text;
        answer.text().lines().map(read).collect::<Vec<_>>()
    };
    assert_eq!(texts("/v1/functions/a/logs").await, ["old", "from the future"]);
    assert_eq!(texts("/v1/functions/a/logs?since=10m").await, ["from the future"]);
    assert_eq!(texts("/v1/functions/a/logs?since=2999-02-01T00:00:00Z&follow=false").await, [""; 0]);
}

#[tokio::test]
async fn logs_can_be_held_to_a_level() {
    let api = called().await;
    let line = |stream, level| LogLine { stream, level, ..line("2026-01-02T03:04:05Z", "") };
    *api.platform.lines.lock().unwrap() = vec![
        line(LogStream::Log, Some(LogLevel::Debug)),
        line(LogStream::Log, Some(LogLevel::Warn)),
        line(LogStream::Stdout, None),
        line(LogStream::Stderr, None),
        line(LogStream::Crash, None),
    ];
    let count =
        async |level: &str| api.get(&format!("/v1/functions/a/logs?level={level}")).await.text().lines().count();
    assert_eq!((count("trace").await, count("info").await), (5, 4));
    assert_eq!((count("warn").await, count("error").await), (3, 1));
}

#[tokio::test]
async fn a_malformed_selection_of_logs_is_refused_with_what_to_write() {
    let api = called().await;
    for (query, detail) in [
        (
            "since=yesterday",
            "the query: since: `yesterday` is neither a span nor a time; write a span such as `10m`, or a time such as \
             `2026-01-02T03:04:05Z`",
        ),
        ("follow=maybe", "the query: follow: provided string was not `true` or `false`"),
        ("folow=true", "the query: folow: unknown field `folow`, expected one of `since`, `follow`, `level`"),
        ("level=loud", "the query: level: `loud` is not a level: write trace, debug, info, warn, error or critical"),
    ] {
        let (status, kind, text) = api.get(&format!("/v1/functions/a/logs?{query}")).await.problem();
        assert_eq!((status, kind.as_str(), text.as_str()), (400, "bad-request", detail));
    }
}

#[tokio::test]
async fn statistics_are_shown_for_one_and_for_all() {
    let api = called().await;
    api.deploy("quiet", "0.2 two").await;
    let shown: NamedStats = api.get("/v1/functions/a/stats").await.json();
    let sent = FunctionStats { histogram: vec![], ..stats() };
    assert_eq!((shown.name.as_str(), shown.stats), ("a", sent.clone()));
    let all: StatsList = api.get("/v1/stats").await.json();
    let all: Vec<_> = all.functions.into_iter().map(|named| (named.name.to_string(), named.stats)).collect();
    assert_eq!(all, [("a".to_owned(), sent), ("quiet".to_owned(), FunctionStats::default())]);
}

#[tokio::test]
async fn metrics_are_these() {
    let api = called().await;
    api.deploy("a", "0.2 one").await;
    let answer = api.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let (counted, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("samovar_deploys_total"));
    let mut counted = counted;
    counted.sort_unstable();
    assert_eq!(
        counted,
        ["samovar_deploys_total{outcome=\"changed\"} 1", "samovar_deploys_total{outcome=\"unchanged\"} 1"]
    );
    insta::assert_snapshot!("metrics", rest.join("\n"));
}

#[tokio::test]
async fn refused_deploys_are_counted_as_such() {
    let api = Api::start();
    let digest = samovar_model::Digest::of(b"never seen");
    api.post("/v1/functions/a/revisions", format!("{{\"artifact\": \"{digest}\"}}")).await;
    let text = api.get("/metrics").await.text().to_owned();
    assert!(text.contains("samovar_deploys_total{outcome=\"refused\"} 1"), "{text}");
}

#[tokio::test]
async fn at_shutdown_a_followed_log_ends_and_serving_returns() {
    let api = called().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(api.control.clone().serve(listener, async move { stopped.await.unwrap() }));

    let mut client = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /v1/functions/a/logs?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("from the future") {
        let read = client.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "a followed log does not end by itself: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(!serving.is_finished());
    stop.send(()).unwrap();
    client.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("0\r\n\r\n"), "the body ends as it should: {text}");
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
