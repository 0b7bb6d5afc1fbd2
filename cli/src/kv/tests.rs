//! What the commands send and print.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use clap::Parser as _;
use serde_json::{Value, json};

use crate::args::Cli;
use crate::testing::{Captured, TOKEN, serve};

/// A control API that notes what it is asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    async fn api(&self) -> String {
        let asked = self.clone();
        let answer = async move |method: Method, uri: Uri, body: Bytes| {
            let call = format!("{method} {uri} {}", String::from_utf8_lossy(&body));
            asked.0.lock().unwrap().push(call.trim().to_owned());
            answer(&method, &uri)
        };
        serve(Router::new().fallback(answer)).await
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn answer(method: &Method, uri: &Uri) -> (StatusCode, Vec<u8>) {
    let json = |value: Value| (StatusCode::OK, value.to_string().into_bytes());
    match (method.as_str(), uri.path(), uri.query()) {
        ("GET", "/v1/kv", _) => json(json!({"buckets": [
            {"bucket": "shop/sessions", "keys": 12, "bytes": 2048, "functions": ["shop"],
                "rules": {"ttl": "1h", "max_bytes": "64MiB", "durability": "batched"}},
            {"bucket": "old", "keys": 1, "bytes": 10, "functions": []},
        ]})),
        (_, path, Some(query)) if path.ends_with("/keys") => {
            let more = !query.contains("after=");
            json(json!({"keys": if more { ["a/1", "a/2"] } else { ["a/3", "a/4"] }, "more": more}))
        }
        ("GET", path, _) if path.ends_with("/values/binary") => (StatusCode::OK, vec![b'a', 0, b'\n']),
        ("GET", path, _) if path.ends_with("/export") => (StatusCode::OK, b"{\"key\":\"a\",\"text\":\"x\"}\n".to_vec()),
        ("POST", ..) => json(json!({"values": 7, "expired": 2})),
        ("GET", ..) => {
            let problem =
                json!({"type": "/problems/x", "title": "x", "status": 404, "detail": "bucket `a` has no key `b`"});
            (StatusCode::NOT_FOUND, problem.to_string().into_bytes())
        }
        _ => (StatusCode::NO_CONTENT, Vec::new()),
    }
}

async fn samovar(words: &[&str], control: &str) -> (anyhow::Result<()>, Captured) {
    let captured = Captured::default();
    let platform = ["samovar", "--control", control, "--token", TOKEN, "kv"];
    let cli = Cli::try_parse_from(platform.iter().chain(words)).unwrap();
    let outcome = crate::run(cli, &mut captured.console()).await;
    (outcome, captured)
}

async fn printed(words: &[&str], control: &str) -> String {
    let (outcome, captured) = samovar(words, control).await;
    outcome.unwrap();
    captured.out()
}

#[tokio::test]
async fn buckets_are_listed_with_their_rules() {
    let control = Asked::default().api().await;
    insta::assert_snapshot!(printed(&["buckets"], &control).await, @r"
    BUCKET         KEYS  SIZE     MAX    TTL  DURABILITY  FUNCTIONS
    shop/sessions  12    2.0 KiB  64MiB  1h   batched     shop
    old            1     10 B     -      -    -           none
    ");
}

#[tokio::test]
async fn keys_are_listed_page_by_page_to_the_end_or_the_limit() {
    let asked = Asked::default();
    let control = asked.api().await;
    assert_eq!(printed(&["list", "shop/sessions", "a/"], &control).await, "a/1\na/2\na/3\na/4\n");
    let pages = [
        "GET /v1/kv/shop%2Fsessions/keys?prefix=a%2F&limit=1000",
        "GET /v1/kv/shop%2Fsessions/keys?prefix=a%2F&limit=1000&after=a%2F2",
    ];
    assert_eq!(asked.take(), pages);
    assert_eq!(printed(&["ls", "old", "--limit", "2"], &control).await, "a/1\na/2\n");
    assert_eq!(asked.take().len(), 1);
    let json: Value = serde_json::from_str(&printed(&["list", "old", "--json"], &control).await).unwrap();
    assert_eq!(json, json!(["a/1", "a/2", "a/3", "a/4"]));
}

#[tokio::test]
async fn a_value_is_printed_or_written_as_it_is() {
    let control = Asked::default().api().await;
    assert_eq!(printed(&["get", "shop/sessions", "binary"], &control).await, "a\0\n");
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("value");
    let printed = printed(&["get", "shop/sessions", "binary", "-o", file.to_str().unwrap()], &control).await;
    assert_eq!((printed.as_str(), std::fs::read(file).unwrap()), ("", b"a\0\n".to_vec()));
    let (outcome, _) = samovar(&["get", "a", "b"], &control).await;
    assert_eq!(outcome.unwrap_err().to_string(), "bucket `a` has no key `b`");
}

#[tokio::test]
async fn a_value_comes_from_the_command_line_or_a_file() {
    let asked = Asked::default();
    let control = asked.api().await;
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("value");
    std::fs::write(&file, "from a file\n").unwrap();
    assert_eq!(printed(&["put", "shop/flags", "a b", "on"], &control).await, "");
    printed(&["put", "all", "k", "--file", file.to_str().unwrap()], &control).await;
    let calls = ["PUT /v1/kv/shop%2Fflags/values/a%20b on", "PUT /v1/kv/all/values/k from a file"];
    assert_eq!(asked.take(), calls);
    std::fs::write(&file, vec![7; (1 << 20) + 1]).unwrap();
    let (outcome, _) = samovar(&["put", "all", "k", "-f", file.to_str().unwrap()], &control).await;
    assert_eq!(outcome.unwrap_err().to_string(), "key `k`: a value of 1048577 bytes, 1048576 at most");
    assert!(asked.take().is_empty());
}

#[tokio::test]
async fn a_bucket_is_not_cleared_without_a_yes() {
    let asked = Asked::default();
    let control = asked.api().await;
    let (outcome, _) = samovar(&["clear", "shop/sessions"], &control).await;
    assert!(outcome.unwrap_err().is::<crate::Usage>());
    assert!(asked.take().is_empty());
    printed(&["clear", "shop/sessions", "--yes"], &control).await;
    printed(&["delete", "all", "a", "b"], &control).await;
    let calls = ["DELETE /v1/kv/shop%2Fsessions", "DELETE /v1/kv/all/values/a", "DELETE /v1/kv/all/values/b"];
    assert_eq!(asked.take(), calls);
}

#[tokio::test]
async fn a_bucket_goes_out_and_in_as_lines() {
    let asked = Asked::default();
    let control = asked.api().await;
    let lines = printed(&["export", "shop/sessions", "--prefix", "a"], &control).await;
    assert_eq!(lines, "{\"key\":\"a\",\"text\":\"x\"}\n");
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("lines");
    std::fs::write(&file, &lines).unwrap();
    let said = printed(&["import", "all", file.to_str().unwrap()], &control).await;
    assert_eq!(said, "all: 7 values imported, 2 left out that are past their time\n");
    let calls = asked.take();
    assert_eq!(calls[0], "GET /v1/kv/shop%2Fsessions/export?prefix=a");
    assert_eq!(calls[1], format!("POST /v1/kv/all/import {}", lines.trim()));
}

#[test]
fn what_names_no_bucket_is_wrong_usage() {
    let wrong = Cli::try_parse_from(["samovar", "kv", "list", "a/b/c"]).unwrap_err().to_string();
    assert!(wrong.contains("`a/b/c` names no bucket: write FUNCTION/NAME"), "{wrong}");
    assert!(Cli::try_parse_from(["samovar", "kv", "put", "a", "k", "v", "--file", "f"]).is_err());
}

#[test]
fn what_cannot_be_a_key_is_wrong_usage() {
    for (key, bytes) in [("", 0), (&*"k".repeat(257), 257)] {
        for command in [&["get", "a", key][..], &["put", "a", key, "v"], &["delete", "a", "b", key]] {
            let wrong = Cli::try_parse_from(["samovar", "kv"].iter().chain(command)).unwrap_err().to_string();
            assert!(wrong.contains(&format!("a key of {bytes} bytes: it must have 1 to 256")), "{wrong}");
        }
    }
}
