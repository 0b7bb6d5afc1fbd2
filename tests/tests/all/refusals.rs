//! What people read when something is refused: in the guest's error, in its log, in a problem document, on the command line. Each
//! says what was refused, by which limit, and what to do. Refusals that stand beside what they belong to are in the other modules.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use samovar_tests::{Answer, Call, Node, Printed, Raw, eventually};

/// Waits until the function's log has a line with this in it.
async fn says(node: &Node, function: &str, text: &str) {
    let found = |lines: &Vec<samovar_model::LogLine>| lines.iter().any(|line| line.text.contains(text));
    eventually(text, async || node.logs(function).await, found).await;
}

/// A call whose caller does not wait.
fn later(call: Call) -> Call {
    call.header("prefer", "respond-async")
}

/// Sends a call that is stored, and waits until its job is in this state; gives the job's path.
async fn job(node: &Node, call: Call, state: &str) -> String {
    let answer = later(call).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let path = answer.header("location").to_owned();
    let look = async || node.call(&path).send().await.json();
    eventually(state, look, |job| job["state"] == state).await;
    path
}

/// Sees that this is a refusal of the platform's with these words.
fn refused(answer: &Answer, status: u16, kind: &str, detail: &str) {
    assert_eq!(answer.problem(status, kind, "platform").detail, detail);
}

#[tokio::test]
async fn a_full_bucket_refuses_the_guest_and_the_command_line_with_its_limit_and_goes_on_being_read() {
    let node = Node::start().await;
    node.function("kv").with("kv.default = { max_bytes = '1KiB' }").deploy().await;
    assert_eq!(node.call("/kv?do=set&key=a&value=1").send().await.ok(), "set\n");
    let words =
        "bucket `kv/default`: full (2 of 1024 bytes used, 2000 more wanted): delete something, or raise `max_bytes`";
    let answer = node.call("/kv?do=set-large&key=large&bytes=1995").send().await;
    assert_eq!((answer.status.as_u16(), answer.text()), (409, format!("Error::Other({words:?})\n").as_str()));
    let put = node.cli(&["kv", "put", "kv/default", "large", &"x".repeat(1995)]).run().await;
    assert_eq!((put.code, put.stderr), (1, format!("error: {words}\n")));
    assert_eq!(node.call("/kv?do=get&key=a").send().await.ok(), "1\n");
    node.call("/kv?do=delete&key=a").send().await.ok();
    assert_eq!(node.call("/kv?do=set-large&key=large&bytes=1000").send().await.ok(), "set\n");
}

#[tokio::test]
async fn the_command_line_tells_a_misspelt_bucket_from_one_that_is_empty() {
    let node = Node::start().await;
    node.function("kv").with("kv.default = {}").deploy().await;
    assert_eq!(node.cli(&["kv", "list", "kv/default"]).ok().await, "");
    let none = "no bucket `kv/defualt`: no function is granted it, and nothing is in it; `samovar kv buckets` shows what there is";
    for args in [
        &["kv", "list", "kv/defualt"][..],
        &["kv", "get", "kv/defualt", "a"],
        &["kv", "delete", "kv/defualt", "a"],
        &["kv", "export", "kv/defualt"],
        &["kv", "clear", "kv/defualt", "--yes"],
    ] {
        let Printed { code, stderr, .. } = node.cli(args).run().await;
        assert_eq!((code, stderr), (1, format!("error: {none}\n")), "{args:?}");
    }
    let put = node.cli(&["kv", "put", "kv/defualt", "a", "1"]).run().await;
    let words =
        "no function is granted bucket `kv/defualt`: `[function.kv.kv]` with `defualt = {}` makes it that function's";
    assert!(put.code == 1 && put.stderr.contains(words), "{put:?}");
}

#[tokio::test]
async fn a_call_that_hands_over_too_much_is_stopped_and_the_log_says_how_much_it_may_be() {
    let node = Node::start().await;
    node.function("kv").with("kv.default = {}").deploy().await;
    node.deploy("many-headers").await;
    node.call("/kv?do=set-large&key=a&bytes=3000000").send().await.problem(502, "trap", "function");
    node.call("/many-headers?count=100000").send().await.problem(502, "trap", "function");
    for function in ["kv", "many-headers"] {
        says(&node, function, "; one call takes 96 KiB, or 2 MiB where the function has a bucket: send less at once")
            .await;
    }
}

#[tokio::test]
async fn addresses_that_are_nobody_elses_business_are_refused_whatever_network_they_are_of() {
    let node = Node::start().await;
    node.function("outbound").with("allow_outbound = ['*']").deploy().await;
    for host in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::1]",
    ] {
        let answer = node.call(&format!("/outbound?url=http://{host}/")).send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (599, "ErrorCode::DestinationIpProhibited\n"), "{host}");
        let address = host.trim_matches(['[', ']']);
        let line = format!(
            "outbound request to http://{host} refused: {address} is not a public address; if it is meant, add to the manifest, \
             [function.outbound] allow_private = true"
        );
        says(&node, "outbound", &line).await;
    }
}

#[tokio::test]
async fn an_idempotency_key_is_refused_where_it_is_none_or_stands_for_another_request() {
    let node = Node::start().await;
    node.deploy("echo").await;
    let send = async |key: &str, body: &'static str| {
        later(node.call("/echo").header("idempotency-key", key)).body(body).send().await
    };
    let words = "the header idempotency-key must have 1 to 255 characters of visible ASCII";
    for key in ["", "a b", &"k".repeat(256)] {
        refused(&send(key, "one").await, 400, "bad-idempotency-key", words);
    }
    let first = send("k", "one").await;
    let id = first.header("location").rsplit('/').next().unwrap();
    let words =
        format!("the idempotency key stands for another request, stored as job {id}: use a new key for a new request");
    refused(&send("k", "two").await, 422, "idempotency-key-taken", &words);
}

#[tokio::test]
async fn a_request_that_cannot_be_stored_says_why_and_is_not_accepted() {
    let node = Node::builder().arg("--jobs-max-bytes", "64KiB").start().await;
    node.function("echo").with("limits.request_body = '256KiB'\nlimits.timeout = '500ms'").deploy().await;
    let send = async |bytes: usize| {
        // Over HTTP/1.1 a caller who is still sending need not see that the answer is there.
        later(node.call("/echo").http2().body(Bytes::from(vec![b'x'; bytes]))).send().await
    };
    let words = "the request body is larger than 256KiB";
    refused(&send((256 << 10) + 1).await, 413, "body-too-large", words);
    let full = send(100 << 10).await;
    let detail = full.problem(503, "jobs-unavailable", "platform").detail;
    assert!(detail.starts_with("the store of jobs is full (0 of 65536 bytes used, "), "{detail}");
    let help = "more wanted): `samovar jobs purge` makes room, and --jobs-max-bytes says how much there is";
    assert!(detail.ends_with(help), "{detail}");
    assert!(!full.header("retry-after").is_empty() && full.header("location").is_empty(), "{full:?}");

    let begin = async |rest: &str| {
        let mut raw: Raw = node.raw().await;
        raw.send(format!("POST /echo HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\n{rest}")).await;
        raw.answer().await
    };
    let slow = begin("content-length: 5\r\n\r\nte").await;
    assert_eq!(slow.status(), 408, "{slow:?}");
    assert!(slow.body.contains("the request body did not come in time (limit 500ms)"), "{slow:?}");
    let broken = begin("transfer-encoding: chunked\r\n\r\nnonsense\r\n").await;
    assert_eq!(broken.status(), 400, "{broken:?}");
    assert!(broken.body.contains("the request body broke off"), "{broken:?}");
    let list = node.cli(&["jobs", "list", "--json"]).ok().await;
    assert!(!list.contains("\"id\""), "nothing of it was stored: {list}");
}

#[tokio::test]
async fn bodies_that_are_to_be_stored_are_received_within_bounds() {
    let node = Node::start().await;
    node.function("echo").with("limits.request_body = '32MiB'\nlimits.timeout = '60s'").deploy().await;
    // What has come takes room: of five bodies of almost 32 MiB, none of which ends, four fit, whichever comes last.
    let pieces = vec![Bytes::from(vec![b'x'; 1 << 20]); 31];
    let calls = (0..5).map(|_| {
        let body = stream::iter(pieces.clone()).chain(stream::pending());
        Box::pin(later(node.call("/echo").http2().stream(body)).send())
    });
    let (first, _, held) = futures_util::future::select_all(calls).await;
    refused(&first, 503, "jobs-unavailable", "too many requests are being stored at once: send it again");
    drop(held);
    // What is only declared takes none.
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\ncontent-length: 33554432\r\n\r\n";
    let mut heads = Vec::new();
    for _ in 0..5 {
        let mut raw = node.raw().await;
        raw.send(head).await;
        heads.push(raw);
    }
    let small = async || later(node.call("/echo").body("small")).send().await;
    eventually("there is room", small, |answer| answer.status == 202).await;
}

#[tokio::test]
async fn where_there_is_no_answer_of_a_job_it_is_said_why() {
    let node = Node::start().await;
    node.function("sleep").deploy().await;
    node.function("trap").with("jobs.retries = 0").deploy().await;
    node.function("echo").with("limits.request_body = '3MiB'").deploy().await;
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();

    let running = job(&node, node.call("/sleep?ms=20000"), "running").await;
    let words = format!("job {} is running: there is no answer yet", id(&running));
    refused(&node.call(&format!("{running}/answer")).send().await, 404, "not-answered-yet", &words);
    let retried = node.cli(&["jobs", "retry", &id(&running)]).run().await;
    let words = format!("error: job {} is running: only one that is dead or waiting can be retried\n", id(&running));
    assert_eq!((retried.code, retried.stderr), (1, words));

    let dead = job(&node, node.call("/trap"), "dead").await;
    let outcome = node.call(&dead).send().await.json()["outcome"].as_str().unwrap().to_owned();
    let words = format!("job {} has no answer: {outcome}", id(&dead));
    assert!(outcome.contains("the function crashed"), "{outcome}");
    refused(&node.call(&format!("{dead}/answer")).send().await, 404, "no-answer", &words);

    let large = job(&node, node.call("/echo").body(vec![b'x'; 2 << 20]), "done").await;
    let words = format!("the answer of job {} has 2097152 bytes, and 1048576 are kept", id(&large));
    refused(&node.call(&format!("{large}/answer")).send().await, 410, "answer-not-kept", &words);

    let none = "00000000000000000000000000000000";
    let words =
        format!("no job {none}: it never was, or was purged (done jobs are kept for 24 h, dead letters for 7 d)");
    refused(&node.call(&format!("/.well-known/samovar/jobs/{none}")).send().await, 404, "no-such-job", &words);
    let shown = node.cli(&["jobs", "show", none]).run().await;
    assert_eq!((shown.code, shown.stderr), (1, format!("error: {words}\n")));
    let words =
        "`nonsense` is not the id of a job: 32 hexadecimal digits, as the header `location` of its 202 has them";
    refused(&node.call("/.well-known/samovar/jobs/nonsense").send().await, 404, "no-such-job", words);
    let shown = node.cli(&["jobs", "show", "nonsense"]).run().await;
    assert!(shown.code == 2 && shown.stderr.contains(words), "{shown:?}");
}

#[tokio::test]
async fn what_a_manifest_gets_wrong_is_told_by_its_key_before_anything_is_built() {
    let project = tempfile::tempdir().unwrap();
    let node = Node::start().await;
    for (lines, words) in [
        ("kv.carts = { ttl = '5ms' }", "function.shop.kv = carts: ttl must be at least 1s"),
        ("kv.carts = { max_bytes = '0B' }", "function.shop.kv = carts: max_bytes must be more than 0"),
        ("kv.'a/b' = {}", "function.shop.kv = a/b: `a/b` is not a bucket's name: use 1 to 63 of a-z"),
        (
            "kv.carts = { size = '1MiB' }",
            "unknown field `size`, expected one of `ttl`, `max_bytes`, `durability`, `shared`",
        ),
        ("kv.carts = { durability = 'never' }", "unknown variant `never`, expected `sync` or `batched`"),
        ("secrets = ['1KEY']", "function.shop.secrets = […]: not a secret's name: use 1 to 63 of a-z"),
        ("secrets = ['K']\nconfig.K = 'v'", "function.shop.secrets = \"K\": the name stands in `config` too"),
        ("allow_outbound = ['example.com']", "`example.com`: write `https://host`, `https://*.host:port`, or `*`"),
        ("allow_functions = ['Cart']", "function.shop.allow_functions = […]: `Cart` is not a function name"),
        ("outbound.concurrency = 0", "function.shop.outbound.concurrency = 0: must be at least 1"),
        ("outbound.timeout = '0s'", "function.shop.outbound.timeout = 0ms: must be more than 0"),
        ("jobs.concurrency = 0", "function.shop.jobs.concurrency = 0: must be at least 1"),
        ("jobs.backoff = '0s'", "function.shop.jobs.backoff = 0ms: must be more than 0"),
        ("schedule = ['* * *']", "`* * *` is not a schedule: write five fields (minute hour day month weekday)"),
        ("schedule = ['0 0 30 2 *']", "`0 0 30 2 *` is never due: no month named has such a day"),
        (
            "schedule = [{ cron = '@daily', zone = 'Berlin' }]",
            "function.shop.schedule.zone = Berlin: `Berlin` is not a time zone: write its name in the tz database, as in \
             `Europe/Berlin`, or `UTC`",
        ),
        ("schedule = [{ cron = '@daily', path = 'x' }]", "function.shop.schedule.path = x: must begin with `/`"),
    ] {
        let manifest = format!("[function.shop]\nbuild = 'exit 3'\nartifact = 'none.wasm'\n{lines}\n");
        std::fs::write(project.path().join("samovar.toml"), manifest).unwrap();
        let told = node.cli(&["deploy"]).dir(project.path()).run().await;
        assert_eq!(told.code, 1, "{lines}: {told:?}");
        assert!(told.stderr.starts_with("error: ") && told.stderr.contains("samovar.toml: "), "{lines}: {told:?}");
        assert!(told.stderr.contains(words), "{lines}: {}", told.stderr);
    }
}
