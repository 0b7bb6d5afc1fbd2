//! Secrets: functions read what they are granted, and nobody else sees a value.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use samovar_model::LogLine;
use samovar_tests::{Answer, Api, Cli, Node, eventually};

const VALUE: &str = "sk_live_9f8E7d6C5b4A!";
const NOT_SET: &str = "secret `MISSING` is not set: samovar secret set MISSING";

async fn set(api: &Api, name: &str, value: &str) -> String {
    api.cli(&["secret", "set", name]).input(&format!("{value}\n")).ok().await
}

/// What the guest says of a value that it has read.
fn told(value: &str) -> String {
    let sum: u32 = value.bytes().map(u32::from).sum();
    format!("{} bytes, sum {sum}\n", value.len())
}

async fn read(node: &Node, key: &str) -> Answer {
    node.call(&format!("/secret?key={key}")).send().await
}

#[tokio::test]
async fn a_function_reads_what_it_is_granted_and_the_newest_value_without_a_deploy() {
    let node = Node::start().await;
    assert_eq!(set(&node, "STRIPE_KEY", "one").await, "STRIPE_KEY: version 1\n");
    set(&node, "ADMIN", "other").await;
    node.function("secret").with("secrets = ['STRIPE_KEY']\nconfig = { region = 'eu' }").deploy().await;
    assert_eq!(read(&node, "STRIPE_KEY").await.ok(), told("one"));
    assert_eq!(set(&node, "STRIPE_KEY", "a longer one").await, "STRIPE_KEY: version 2\n");
    assert_eq!(read(&node, "STRIPE_KEY").await.warm(), told("a longer one"), "the instance is the same");
    for other in ["ADMIN", "NOTHING"] {
        assert_eq!(read(&node, other).await.text(), "not there\n", "{other}");
    }
    assert_eq!(node.call("/secret").send().await.ok(), "[\"region\"]\n", "no list has secrets in it");
    let listed = node.cli(&["secret", "list"]).ok().await;
    assert!(listed.contains("current  secret"), "{listed}");
}

#[tokio::test]
async fn a_secret_that_is_not_set_is_told_at_deploy_to_the_guest_and_in_the_log() {
    let node = Node::start().await;
    let deployed = node.function("secret").with("secrets = ['MISSING']").deploy().await;
    assert_eq!(deployed.warnings, [NOT_SET]);
    assert_eq!(read(&node, "MISSING").await.text(), format!("upstream: {NOT_SET}\n"));
    let says = |lines: &Vec<LogLine>| lines.iter().any(|line| line.text == NOT_SET);
    eventually("the log says it", async || node.logs("secret").await, says).await;
    set(&node, "MISSING", "here").await;
    assert_eq!(read(&node, "MISSING").await.ok(), told("here"));
    let removed = node.cli(&["secret", "remove", "MISSING", "--yes"]).run().await;
    assert_eq!(removed.stderr, "warning: `MISSING` is granted to secret, which cannot read it then\n");
    assert_eq!(read(&node, "MISSING").await.status, 503);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let node = Node::start().await;
    node.function("secret").with("secrets = ['A']").deploy().await;
    for text in ["one", "two", "three"] {
        set(&node, "A", text).await;
    }
    let node = node.kill().await.start().await;
    assert_eq!(read(&node, "A").await.ok(), told("three"));
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_refused_and_a_lost_one_is_told_and_not_replaced() {
    let node = Node::start().await;
    node.function("secret").with("secrets = ['A']").deploy().await;
    set(&node, "A", "one").await;
    let stopped = node.stop().await;
    let key = stopped.data_dir().join("secrets.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let path = key.display().to_string();
    let data = tempfile::tempdir().unwrap();
    let kept = data.path().join("kept.key");
    let refused = Cli::new(&["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"])
        .env("SAMOVAR_DATA_DIR", stopped.data_dir().to_str().unwrap())
        .run()
        .await;
    let expected = format!("others can read {path} (mode 0644): chmod 600 {path}");
    assert!(refused.code == 1 && refused.stderr.contains(&expected), "{}", refused.stderr);
    mode(0o600);
    std::fs::rename(&key, &kept).unwrap();

    let node = stopped.start().await;
    let answer = read(&node, "A").await;
    assert!(answer.text().starts_with("upstream: the key of 1 secrets is gone: put "), "{}", answer.text());
    let refused = node.cli(&["secret", "set", "A"]).input("two").run().await;
    assert!(refused.code == 1 && refused.stderr.contains("put "), "{}", refused.stderr);
    let listed = node.cli(&["secret", "list", "--json"]).json().await;
    assert_eq!(listed["secrets"][0]["key"], "missing");
    let stopped = node.stop().await;
    assert!(!key.exists());
    std::fs::rename(&kept, &key).unwrap();
    let node = stopped.start().await;
    assert_eq!(read(&node, "A").await.ok(), told("one"));
}

#[tokio::test]
async fn a_value_is_in_no_log_no_answer_and_no_file() {
    let mut seen = Seen::default();
    let mut node = Node::builder().arg("--log", "debug").start().await;
    seen.text(&set(&node, "STRIPE_KEY", VALUE).await);
    let settings = "secrets = ['STRIPE_KEY', 'MISSING']\nconfig = { region = 'eu' }";
    node.function("secret").with(settings).deploy().await;
    assert_eq!(read(&node, "STRIPE_KEY").await.ok(), told(VALUE));
    provoke(&node, &mut seen).await;
    assert_eq!(set(&node, "STRIPE_KEY", VALUE).await, "STRIPE_KEY: version 2\n");
    assert_eq!(read(&node, "STRIPE_KEY").await.ok(), told(VALUE));
    look_at_everything(&node, &mut seen).await;

    while let Some(line) = node.process().line_so_far() {
        seen.text(&line);
    }
    let stopped = node.stop().await;
    assert!(stopped.stderr.contains("DEBUG"), "the log tells little: {}", stopped.stderr);
    seen.text(&stopped.stderr);
    for file in ["secrets.redb", "registry.redb", "logs"] {
        assert!(stopped.data_dir().join(file).exists(), "{file}");
    }
    seen.directory(stopped.data_dir());
    let node = stopped.start().await;
    assert_eq!(read(&node, "STRIPE_KEY").await.ok(), told(VALUE));
    seen.directory(node.stop().await.data_dir());
    seen.has(b"STRIPE_KEY");
    seen.has_no_trace_of(VALUE);
}

/// What goes wrong with the value in hand.
async fn provoke(node: &Node, seen: &mut Seen) {
    for path in ["/secret?key=STRIPE_KEY&then=trap", "/secret?key=MISSING", "/secret?key=MISSING&then=trap"] {
        let answer = node.call(path).send().await;
        assert!(answer.status.is_server_error(), "{path}: {}", answer.text());
        seen.answer(&answer);
    }
    let put = |path: &str, body: Vec<u8>| node.control_call(path).body(Bytes::from(body)).method(Method::PUT);
    let broken = [VALUE.as_bytes(), b"\xff"].concat();
    for (path, body) in [
        ("/v1/secrets/STRIPE_KEY".to_owned(), broken),
        ("/v1/secrets/STRIPE_KEY".to_owned(), VALUE.repeat(5_000).into_bytes()),
        (format!("/v1/secrets/{VALUE}"), b"x".to_vec()),
        ("/v1/secrets/a.b".to_owned(), VALUE.into()),
        ("/v1/functions".to_owned(), VALUE.into()),
    ] {
        let answer = put(&path, body).send().await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.text());
        seen.answer(&answer);
    }
    let clash = node.function("secret").with("secrets = ['K']\nconfig = { K = 'v' }").try_deploy().await;
    assert!(clash.unwrap_err().problem.detail.contains("the name stands in `config` too"));
    for args in [&["secret", "set", "STRIPE_KEY", VALUE][..], &["secret", "set", &format!("STRIPE_KEY={VALUE}")]] {
        let printed = node.cli(args).run().await;
        assert_eq!(printed.code, 2, "{}", printed.stderr);
        seen.text(&printed.stderr);
    }
}

/// Everything that tells of functions and secrets.
async fn look_at_everything(node: &Node, seen: &mut Seen) {
    let crashed = |lines: &Vec<LogLine>| lines.iter().any(|line| line.text.contains("asked to"));
    eventually("the crash is in the log", async || node.logs("secret").await, crashed).await;
    for path in [
        "/v1/secrets",
        "/v1/secrets/STRIPE_KEY",
        "/v1/functions/secret",
        "/v1/functions/secret/revisions",
        "/v1/functions/secret/logs",
        "/v1/stats",
        "/v1/info",
        "/v1/openapi.json",
        "/metrics",
    ] {
        seen.answer(&node.control_call(path).send().await);
    }
    for args in
        [&["secret", "list"][..], &["secret", "list", "--json"], &["show", "secret"], &["show", "secret", "--json"]]
    {
        seen.text(&node.cli(args).ok().await);
    }
}

/// All bytes that somebody could come across.
#[derive(Default)]
struct Seen(Vec<u8>);

impl Seen {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'\n');
    }

    fn answer(&mut self, answer: &Answer) {
        self.text(&format!("{answer:?}"));
        self.0.extend_from_slice(&answer.body);
    }

    fn directory(&mut self, dir: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.directory(&path);
            } else {
                self.0.extend(std::fs::read(&path).unwrap());
            }
        }
    }

    fn finds(&self, needle: &[u8]) -> bool {
        self.0.windows(needle.len()).any(|bytes| bytes.eq_ignore_ascii_case(needle))
    }

    fn has(&self, needle: &[u8]) {
        assert!(self.finds(needle), "the search itself does not work");
    }

    /// Neither as it is, nor escaped, nor in hexadecimal digits, nor in base64 wherever it begins.
    fn has_no_trace_of(&self, value: &str) {
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let listed = value.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let base64 = (0..3).map(|offset| {
            let shifted = [&b"xxx"[..offset], value.as_bytes()].concat();
            let whole = STANDARD.encode(&shifted[..shifted.len() / 3 * 3]);
            whole[4 * offset.div_ceil(3)..].to_owned()
        });
        let needles = [value[..value.len() - 1].to_owned(), value[8..].to_owned(), hex, listed];
        for needle in needles.into_iter().chain(base64) {
            let found = self.0.windows(needle.len()).position(|bytes| bytes.eq_ignore_ascii_case(needle.as_bytes()));
            let around = found.map(|at| &self.0[at.saturating_sub(200)..at]).map(String::from_utf8_lossy);
            assert_eq!(around, None, "`{needle}` was found");
        }
    }
}
