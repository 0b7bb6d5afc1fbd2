//! The guests of the end-to-end tests: each in the calls that show what it is for.

use crate::call::Call;
use crate::outcome::Outcome;
use crate::pair::{Function, Pair, Words};

/// A manifest that has a function named after its guest, and these lines.
fn manifest(guest: &str, lines: &str) -> String {
    format!("[function.{}]\n{lines}", guest.replace('_', "-"))
}

impl Pair {
    async fn guest(&self, guest: &str, lines: &str) -> Function<'_> {
        self.function(guest, &manifest(guest, lines)).await
    }
}

/// A body in pieces, with trailers.
fn post(query: &str) -> Call {
    Call::post(query).piece("one, ").piece("two\n").trailers([("x-sum", "abc")])
}

async fn same(guest: &Function<'_>, calls: impl IntoIterator<Item = Call>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(guest.call(&call).await);
    }
    outcomes
}

#[tokio::test]
async fn answers_are_the_same() {
    let pair = Pair::start();
    for (guest, queries) in [
        ("hello", &["", ""][..]),
        ("counter", &["", "", "ms=1", ""]),
        ("declared-length", &["", "actual=9", "actual=11", "declared=0&actual=0", "none", "none&declared=0"]),
        ("trailers", &[""]),
        ("many-headers", &["count=0", "count=1", "count=50", "count=500", "append&count=50", "append&count=3000", ""]),
        ("big-headers", &["bytes=1", "bytes=20000", "bytes=40000"]),
        ("early-drop", &["", ""]),
        ("write-before-set", &[""]),
        ("never-set", &["", ""]),
        ("random", &["mib=0", "mib=1", "mib=4", "mib=5"]),
        ("long-error", &["kib=0", "kib=1", "kib=90", "kib=0"]),
        ("work", &["turns=1", "turns=2000"]),
        ("sleep", &["ms=1"]),
        ("length", &[""]),
        ("read-never", &[""]),
        ("chatty", &["lines=3", "lines=300&label=again"]),
        ("flood", &["mib=0", "mib=1&chunk=65537"]),
        ("after", &["ms=1&label=x"]),
        ("tally", &["id=1"]),
        ("hello-wstd", &["", ""]),
        ("stream", &["count=0", "count=5", "count=3&ms=2"]),
        ("hello_reactor", &["", ""]),
    ] {
        let function = pair.guest(guest, "").await;
        same(&function, queries.iter().map(|query| Call::get(query))).await;
        same(&function, queries.iter().map(|query| post(query))).await;
        same(&function, queries.iter().map(|query| Call::get(query).method("HEAD"))).await;
    }
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn crashes_are_the_same() {
    let pair = Pair::start();
    for (guest, queries) in [
        ("trap", &["calm", "", "calm"][..]),
        ("panic", &["calm", "", "calm"]),
        ("drop-panic", &["calm", "", "again", "calm"]),
        ("exit", &["code=0", "code=1", "code=7"]),
        ("recurse", &["calm", "", "calm"]),
        ("half-body-then-trap", &["", ""]),
        ("trap-after", &["calm", "", "calm"]),
    ] {
        let function = pair.guest(guest, "").await;
        same(&function, queries.iter().map(|query| Call::get(query))).await;
        same(&function, queries.iter().map(|query| post(query))).await;
    }
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn what_happens_at_start_is_the_same() {
    let pair = Pair::start();
    let starts = pair.guest("starter", "env = { A = \"1\", B = \"\" }").await;
    let outcomes = same(&starts, ["", ""].map(Call::get)).await;
    assert!(outcomes[0].body().starts_with("[(\"A\", \"1\")"), "{outcomes:?}");
    let fails = pair.function("starter", "[function.fails]\nenv = { FAIL = \"1\" }").await;
    same(&fails, ["", ""].map(Call::get)).await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn limits_are_the_same() {
    let pair = Pair::start();
    let grow = pair.guest("grow", "limits = { memory = \"8MiB\" }").await;
    same(&grow, ["calm", "", "calm"].map(Call::get)).await;
    let allocate = pair.guest("allocate", "limits = { memory = \"8MiB\" }").await;
    same(&allocate, ["mib=1", "mib=4", "mib=9", "mib=1"].map(Call::get)).await;
    let hoard = pair.guest("hoard", "").await;
    let what = ["clocks", "fields", "methods", "bodies", "nothing"];
    let counts = [1, 20, 200, 600];
    same(&hoard, what.iter().flat_map(|what| counts.map(|count| Call::get(&format!("what={what}&count={count}")))))
        .await;
    for guest in ["host-calls", "spin"] {
        let busy = pair.guest(guest, "limits = { cpu = \"50ms\" }").await;
        same(&busy, ["", ""].map(Call::get)).await;
    }
    let silent = pair.guest("half-body-then-silence", "limits = { timeout = \"100ms\" }").await;
    same(&silent, [Call::get("")]).await;
    let sleepy = pair.guest("sleep", "limits = { timeout = \"500ms\" }").await;
    same(&sleepy, ["ms=1", "ms=60000", "ms=1"].map(Call::get)).await;
    let length = pair.guest("length", "limits = { request_body = \"10B\" }").await;
    same(&length, [Call::post("").piece("a").piece("b".repeat(9)), Call::post("").piece("c".repeat(11)), post("")])
        .await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn bodies_are_passed_on_the_same() {
    let pair = Pair::start();
    let echo = pair.guest("echo", "").await;
    let large = || Call::post("").piece("x".repeat(300_000));
    same(
        &echo,
        [
            Call::get(""),
            post(""),
            Call::post("").piece(""),
            Call::post("").pause().piece("slow").pause().piece("ly").trailers([("x-sum", "abc"), ("x-sum", "d")]),
            large(),
            large().piece("y").trailers([]),
            Call::post("").piece("half").breaks(),
            Call::post("").breaks(),
            post("").method("PATCH"),
            post("").method("HEAD"),
        ],
    )
    .await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn what_a_guest_knows_is_the_same() {
    let pair = Pair::start();
    let env = pair.guest("env", "env = { A = \"1\", EMPTY = \"\", LONG = \"é, and so on\" }").await;
    for uri in ["/", "/?A", "/?EMPTY", "/?LONG", "/?NONE"] {
        same(&env, [Call::new(http::Method::GET, uri).header("host", "host.example")]).await;
    }
    let facts = pair.guest("request-facts", "").await;
    for method in ["GET", "HEAD", "CONNECT", "OPTIONS", "BREW"] {
        let plain = Call::get("").method(method);
        let many = (0..50).fold(plain.clone(), |call, _| call.header("x-again", "é").header("x-empty", ""));
        same(&facts, [plain, many]).await;
    }
    let configured = "config = { greeting = \"hello\", empty = \"\", long = \"é, and so on\" }";
    for guest in ["config", "secret"] {
        let config = pair.guest(guest, configured).await;
        same(&config, ["", "key=greeting", "key=empty", "key=long", "key=", "key=nothing"].map(Call::get)).await;
    }
    same(&pair.guest("config-runtime", configured).await, [Call::get("")]).await;
    for guest in ["ticks", "clock"] {
        let clock = pair.guest(guest, "").await;
        let [direct, component] = clock.both(&Call::get("")).await.map(Outcome::shape);
        assert_eq!(direct, component, "{guest}");
    }
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn what_a_guest_says_is_logged_the_same() {
    let pair = Pair::start();
    let log = pair.guest("log", "").await;
    let structured = "context=cart&message={%22message%22:%22low%22,%22left%22:2}";
    same(&log, ["", structured, "context=é&message=plain", "flood=100&message=again"].map(Call::get)).await;
    same(&pair.guest("log-unversioned", "").await, [Call::get("")]).await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn calls_of_other_functions_are_the_same() {
    let pair = Pair::start();
    let allowed = "allow_functions = [\"other\", \"nobody\"]";
    let to = |name: &str, path: &str| format!("url=http://{name}.samovar.internal{path}");
    let outbound = pair.guest("outbound", allowed).await;
    let fetch = pair.guest("fetch", allowed).await;
    for path in ["/plain", "/pieces", "/large", "/trailers", "/many-headers", "/empty"] {
        same(&outbound, [Call::get(&to("other", path))]).await;
        same(&fetch, [Call::get(&to("other", path)), post(&to("other", path)).method("BREW")]).await;
    }
    for path in ["/breaks", "/breaks-late", "/breaks-at-once"] {
        same(&fetch, [Call::get(&to("other", path)), post(&to("other", path))]).await;
    }
    for query in [to("nobody", "/"), to("denied", "/"), "url=http://elsewhere.example/".to_owned()] {
        same(&outbound, [Call::get(&query)]).await;
    }
    same(&fetch, [post(&format!("{}&first=20", to("other", "/never"))), post(&to("other", "/echo"))]).await;
    let relay = pair.guest("relay", &format!("{allowed}\nenv = {{ INBOX = \"http://other.samovar.internal\" }}")).await;
    same(&relay, [Call::get(""), post("a=b").header("x-a", "1")]).await;
    let fan_out = pair.guest("fan-out", allowed).await;
    same(&fan_out, [Call::get(&format!("{}&count=20", to("other", "")))]).await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn an_instance_may_send_more_requests_than_it_may_hold_things() {
    let pair = Pair::start();
    let fetch = pair.guest("fetch", "allow_functions = [\"other\"]").await;
    for number in 0..600 {
        let call = Call::get("url=http://other.samovar.internal/plain");
        for outcome in fetch.both(&call).await {
            assert!(matches!(&outcome, Outcome::Answer(answer) if answer.status == 202), "{number}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn nobody_has_files_or_sockets() {
    let pair = Pair::start();
    let nothing = pair.guest("nothing", "").await;
    let outcomes = same(&nothing, ["", "of=all", ""].map(Call::get)).await;
    assert!(outcomes.iter().all(|outcome| !outcome.body().contains("Ok(()")), "{outcomes:?}");
    let connect = pair.guest("connect", "").await;
    same(&connect, ["to=127.0.0.1:1", "to=localhost:1", "to=[::1]:1"].map(Call::get)).await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn a_made_up_handle_of_a_file_or_a_socket_ends_the_invocation() {
    let pair = Pair::start();
    let nothing = pair.guest("nothing", "").await;
    for of in [
        "descriptor",
        "open",
        "directory",
        "tcp",
        "udp",
        "incoming",
        "outgoing",
        "addresses",
        "drop",
        "network",
        "error",
    ] {
        // The bindings drop nothing that has the largest number.
        for handle in [0, 1, 2, 3, 7, 1_000_000, u32::MAX - 1] {
            let outcome = nothing.call(&Call::get(&format!("of={of}&handle={handle}"))).await;
            assert_eq!(outcome, Outcome::Fault(samovar_model::Fault::Trap), "{of} {handle}");
        }
    }
    pair.end(Words::Different).await;
}
