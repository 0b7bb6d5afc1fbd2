//! The examples that a user would copy: each is built and deployed as its README says, and called.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use samovar_tests::{Node, repository};
use serde_json::json;

fn dir(example: &str) -> PathBuf {
    repository().join("examples").join(example)
}

/// A platform with these examples.
async fn with(examples: &[&str]) -> Node {
    let node = Node::start().await;
    for example in examples {
        node.cli(&["deploy", &dir(example).display().to_string()]).run_long().await;
    }
    node
}

#[tokio::test]
async fn hello() {
    let node = with(&["hello"]).await;
    assert_eq!(node.call("/hello/there").send().await.ok(), "hello from /hello/there\n");
    assert_eq!(node.call("/hello").send().await.instance(), "warm");
    // What it does not read is no harm to the connection.
    let mut raw = node.raw().await;
    for _ in 0..2 {
        raw.send("POST /hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nwater").await;
        assert_eq!(raw.answer().await.body, "hello from /hello\n");
    }
}

#[tokio::test]
async fn todo() {
    let node = with(&["todo"]).await;
    let made = node.call("/todo").json(&json!({ "title": "fill the samovar" })).send().await;
    assert!(made.status.is_success(), "{}", made.text());
    assert_eq!(made.json(), json!({ "id": 1, "title": "fill the samovar", "done": false }));
    let done = json!({ "title": "fill the samovar", "done": true });
    let changed = node.call("/todo/1").json(&done).method(Method::PUT).send().await;
    assert_eq!(changed.json()["done"], true);
    assert_eq!(node.call("/todo?done=true").send().await.json().as_array().unwrap().len(), 1);
    assert!(node.call("/todo/1").method(Method::DELETE).send().await.status.is_success());
    let gone = node.call("/todo/1").send().await;
    assert_eq!((gone.status.as_u16(), gone.json()["detail"].as_str()), (404, Some("no task 1")));
}

#[tokio::test]
async fn events() {
    let node = with(&["events"]).await;
    node.call("/events?from=0").send().await.ok();
    let begun = tokio::time::Instant::now();
    let mut answer = node.call("/events?from=2&every_ms=1000").open().await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let first = answer.chunk().await.unwrap();
    let first_after = begun.elapsed();
    let whole = answer.finish().await.unwrap();
    let text = [&first[..], &whole.body].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("event: tick\nid: 2\ndata: {\"left\":2}\n\n"), "{text}");
    assert!(text.ends_with("event: done\ndata: tea is ready\n\n"), "{text}");
    assert!(first_after + std::time::Duration::from_secs(1) < begun.elapsed(), "{first_after:?}");
}

#[tokio::test]
async fn upload_hash() {
    let node = with(&["upload-hash"]).await;
    let answer = node.call("/upload-hash").body("abc").send().await;
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(answer.json(), json!({ "bytes": 3, "sha256": digest }));
    let chunk = Bytes::from(vec![0; 1 << 20]);
    let before = node.resident_kib();
    let large = node.call("/upload-hash").stream(stream::iter(vec![chunk; 64])).send().await;
    assert_eq!(large.json()["bytes"], 64 << 20);
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more than before");
}

#[tokio::test]
async fn qr() {
    let node = with(&["qr"]).await;
    let answer = node.call("/qr?text=https://example.com&size=400&correction=high").send().await;
    assert!(answer.ok().contains("<svg"), "{}", answer.text());
    assert!(answer.header("content-type").starts_with("image/svg+xml"), "{answer:?}");
    let refused = node.call("/qr?text=a&size=9999").send().await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["detail"], "size=9999: from 32 to 4096 pixels");
}

#[tokio::test]
async fn aggregate() {
    let node = with(&["todo", "hello"]).await;
    node.cli(&["build", &dir("aggregate").display().to_string()]).run_long().await;
    let origin = format!("http://{}", node.gateway());
    // As its manifest says, but for the port.
    let settings = format!(
        "allow_outbound = ['{origin}']\nallow_private = true\n\
         env.LEFT_URL = '{origin}/todo'\nenv.RIGHT_URL = '{origin}/hello'"
    );
    let component = repository().join("examples/target/wasm32-wasip2/release/aggregate.wasm");
    node.function("aggregate").file(&component).with(&settings).deploy().await;
    let expected = json!({
        "left": { "ok": { "status": 200, "body": [] } },
        "right": { "ok": { "status": 200, "body": "hello from /hello\n" } },
    });
    assert_eq!(node.call("/aggregate").send().await.json(), expected);
    node.delete("todo").await;
    assert_eq!(node.call("/aggregate").send().await.json()["right"], expected["right"]);
}

#[tokio::test]
async fn axum_app() {
    let node = with(&["axum-app"]).await;
    assert_eq!(node.call("/axum-app/hello/ann?loud=true").send().await.ok().trim(), "HELLO ANN");
    assert_eq!(node.call("/axum-app/sum").json(&json!([1, 2.5])).send().await.json(), json!({ "sum": 3.5 }));
    assert_eq!(node.call("/axum-app/calls").send().await.ok().trim(), "1");
}

#[tokio::test]
async fn visits() {
    let node = with(&["visits"]).await;
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(node.call("/visits/tea").send())).collect();
    for call in calls {
        call.await.unwrap().ok();
    }
    assert_eq!(node.call("/visits/milk").send().await.ok(), "/visits/milk: visit 1\n");
    // What was counted is there after a restart.
    let node = node.stop().await.start().await;
    assert_eq!(node.call("/visits/tea").send().await.ok(), "/visits/tea: visit 21\n");
}

#[tokio::test]
async fn shorten() {
    let node = with(&["shorten"]).await;
    let made = node.call("/shorten").json(&json!({ "url": "https://example.com/tea" })).send().await;
    assert_eq!((made.status.as_u16(), made.json()), (201, json!({ "name": "b" })));
    let answer = node.call("/shorten/b").send().await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "https://example.com/tea"));
    assert_eq!(node.call("/shorten/b/clicks").send().await.ok(), "1\n");
    // Of several who want one name, one gets it.
    let long = json!({ "url": "https://example.com", "name": "tea" });
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(node.call("/shorten").json(&long).send())).collect();
    let mut made = 0;
    for call in calls {
        made += usize::from(call.await.unwrap().status == 201);
    }
    assert_eq!(made, 1);
}

/// Sets a secret as a person would whose value is in a file.
async fn secret(node: &Node, name: &str, value: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value).unwrap();
    node.cli(&["secret", "set", name, "--file", &file.path().display().to_string()]).ok().await;
}

#[tokio::test]
async fn login() {
    let node = Node::start().await;
    secret(&node, "SESSION_KEY", "0123456789abcdef0123456789abcdef").await;
    node.cli(&["deploy", &dir("login").display().to_string()]).run_long().await;
    assert!(node.call("/login").send().await.ok().contains("<form"));
    assert_eq!(node.call("/login").body("user=ann&password=correct+horse").send().await.status, 403);
    assert_eq!(node.call("/login/join").body("user=ann&password=correct+horse").send().await.status, 303);
    let kept = node.cli(&["kv", "get", "login/users", "ann"]).ok().await;
    assert!(kept.starts_with("$argon2id$"), "{kept}");
    let wrong = node.call("/login").body("user=ann&password=wrong").send().await;
    assert_eq!((wrong.status.as_u16(), wrong.header("set-cookie")), (403, ""));
    let entered = node.call("/login").body("user=ann&password=correct+horse").send().await;
    assert_eq!(entered.status, 303);
    let cookie = entered.header("set-cookie").split(';').next().unwrap().to_owned();
    let page = || node.call("/login").header("cookie", &cookie).send();
    assert!(page().await.ok().contains("Hello ann"));
    let out = node.call("/login/out").header("cookie", &cookie).method(Method::POST).send().await;
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert!(!page().await.ok().contains("Hello"), "a copy of the cookie outlives the session");
}

#[tokio::test]
async fn webhook() {
    let node = Node::start().await;
    secret(&node, "WEBHOOK_SECRET", "s3cret").await;
    node.cli(&["deploy", &dir("webhook").display().to_string()]).run_long().await;
    let send = |signature: &str| {
        let call = node.call("/webhook").header("x-event-id", "1").header("x-signature", signature);
        call.body(r#"{"type":"paid"}"#).send()
    };
    // printf '{"type":"paid"}' | openssl dgst -sha256 -hmac s3cret
    let signed = "sha256=b95c3a4c0adeb75b48a2a8b7a79448272ce0b47c81c498962f22a00e3e5a6f98";
    assert_eq!(send(signed).await.status, 202);
    assert_eq!(send("sha256=00").await.status, 401);
    let work = node.call("/webhook/work").method(Method::POST).send().await;
    assert_eq!(work.status, 404, "the work is for the schedule alone");
}

#[tokio::test]
async fn report() {
    let node = with(&["report"]).await;
    let sold = node.call("/report/sales").json(&json!({ "article": "tea", "cents": 300 })).send().await;
    assert_eq!(sold.status, 204);
    assert_eq!(node.call("/report/latest").send().await.status, 404);
    let made = node.call("/report/make").method(Method::POST).send().await;
    assert_eq!(made.status, 404, "the report is for the schedule alone");
}

#[tokio::test]
async fn every_example_has_a_test_here_or_in_languages() {
    let tested = [
        "hello",
        "todo",
        "events",
        "upload-hash",
        "qr",
        "aggregate",
        "axum-app",
        "visits",
        "shorten",
        "login",
        "webhook",
        "report",
        "hello-javascript",
        "hello-python",
        "visits-javascript",
        "visits-python",
    ];
    let entries = std::fs::read_dir(repository().join("examples")).unwrap().map(|entry| entry.unwrap());
    for entry in entries.filter(|entry| entry.path().join("samovar.toml").exists()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(tested.contains(&name.as_str()), "example {name} has no test");
        assert!(entry.path().join("README.md").exists(), "example {name} has no README.md");
    }
}
