//! The guest `abi`, in all of its cases: those that tell what functions gave, and those that must end the invocation.

use std::collections::BTreeMap;

use http::Method;
use samovar_model::Fault;

use crate::call::Call;
use crate::outcome::Outcome;
use crate::pair::{Function, Pair, Words};

const MANIFEST: &str = r#"
[function.abi]
allow_functions = ["other", "nobody"]
[function.abi.env]
EMPTY = ""
GREETING = "hello, é"
[function.abi.limits]
memory = "32MiB"
"#;

/// Cases that must end the invocation with a fault of the function: those in which a handle, an address or a number is none, which
/// the one host and the other tell in words of their own, and those that wasmtime's functions refuse.
const TOLD_DIFFERENTLY: [&str; 8] = [
    "unknown-handle",
    "wrong-handle",
    "dropped-handle",
    "given-away",
    "bad-memory",
    "too-much",
    "bad-number",
    "allocator",
];
const TOLD_ALIKE: [&str; 1] = ["misused"];

/// What comes of it depends on which number a handle has, which is not the same.
const ANY_HANDLE: &str = "any-handle";

/// Cases of those that remain that do not answer.
const WITHOUT_AN_ANSWER: [&str; 5] = ["error&", "error-in-numbers&", "exit&", "not-set&", "status&n=7"];

/// The names of all cases, and how many each is.
async fn cases(abi: &Function<'_>) -> BTreeMap<String, usize> {
    let listed = abi.call(&Call::get("")).await;
    let case = |line: &str| line.split_once(' ').map(|(name, n)| (name.to_owned(), n.parse().expect("a number")));
    listed.body().lines().map(|line| case(line).expect("a name and a number")).collect()
}

fn queries(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("case={name}&n={n}"))
}

/// A request whose body is all there: in several pieces, one of them empty, and with trailers.
fn with_body(query: &str) -> Call {
    with_headers(query).piece("abcdefgh").piece("").piece("ijkl").piece("m".repeat(3000)).trailers([
        ("x-sum", "abc"),
        ("x-sum", ""),
        ("x-other", "d"),
    ])
}

/// One whose body takes its time.
fn with_slow_body(query: &str) -> Call {
    with_headers(query).pause().piece("abcdefgh").pause().piece("ijkl").pause().trailers([("x-sum", "abc")])
}

fn with_headers(query: &str) -> Call {
    Call::post(query).header("x-several", "a").header("x-several", b"\xff").header("x-empty", "")
}

/// Makes these calls, of which each must come to the same on both hosts.
async fn outcomes(abi: &Function<'_>, calls: &[Call]) -> Vec<Outcome> {
    let (mut outcomes, mut differences) = (Vec::new(), Vec::new());
    for call in calls {
        let [direct, component] = abi.both(call).await;
        if direct != component {
            differences.push(format!("{call}\n  linked directly: {direct:?}\n  as a component: {component:?}"));
        }
        outcomes.push(direct);
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), calls.len(), differences.join("\n"));
    outcomes
}

#[tokio::test]
async fn every_function_gives_the_same() {
    let pair = Pair::start();
    let abi = pair.function("abi", MANIFEST).await;
    let ends = |name: &str| TOLD_DIFFERENTLY.contains(&name) || TOLD_ALIKE.contains(&name) || name == ANY_HANDLE;
    let cases = cases(&abi).await.into_iter().filter(|(name, _)| !ends(name));
    let queries: Vec<String> = cases.flat_map(|(name, count)| queries(&name, count).collect::<Vec<_>>()).collect();
    let calls: Vec<Call> = queries.iter().map(|query| with_body(query)).collect();
    for (query, outcome) in queries.iter().zip(outcomes(&abi, &calls).await) {
        let answers = !WITHOUT_AN_ANSWER.iter().any(|other| query.starts_with(&format!("case={other}")));
        assert_eq!(matches!(outcome, Outcome::Answer(_)), answers, "{query}: {outcome:?}");
    }
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn a_request_without_a_body_is_the_same_and_so_is_one_that_breaks_off_or_takes_its_time() {
    let pair = Pair::start();
    let abi = pair.function("abi", MANIFEST).await;
    let mut calls = Vec::new();
    for (name, _) in cases(&abi).await {
        let query = format!("case={name}");
        if ["request", "body", "trailers", "in-pieces", "output-stream", "polled"].iter().any(|of| name.starts_with(of))
        {
            let broken = Call::post(&query).piece("broken o").breaks();
            calls.extend([Call::get(&query), broken, Call::post(&query).breaks()]);
        }
        // Of the others it would be chance how much is there when they look.
        if name == "body-waited-for" || name.starts_with("trailers-") {
            calls.push(with_slow_body(&query));
        }
    }
    outcomes(&abi, &calls).await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn what_is_told_of_a_request_is_the_same() {
    let pair = Pair::start();
    let abi = pair.function("abi", MANIFEST).await;
    let mut calls = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "BREW", "get"] {
        calls.push(Call::get("case=request-facts").method(method));
    }
    for uri in
        ["/?case=request-facts", "/a%20b/../c?case=request-facts&d", "http://other.example:8080?case=request-facts"]
    {
        calls.push(Call::new(Method::GET, uri).header("host", "host.example:99"));
        calls.push(Call::new(Method::GET, uri));
    }
    let many =
        (0..50).fold(Call::get("case=request-facts"), |call, _| call.header("x-again", "a").header("x-empty", ""));
    calls.push(many.header("cookie", "a=b").header("connection", "close").header("te", "trailers"));
    outcomes(&abi, &calls).await;
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn answers_to_head_are_the_same() {
    let pair = Pair::start();
    let abi = pair.function("abi", MANIFEST).await;
    let mut calls = Vec::new();
    for (name, count) in cases(&abi).await {
        if ["status", "trailers", "no-body", "in-pieces"].contains(&name.as_str()) {
            calls.extend(queries(&name, count).map(|query| with_body(&query).method("HEAD")));
        }
    }
    outcomes(&abi, &calls).await;
    pair.end(Words::Same).await;
}

/// Makes these calls that must end the invocation.
async fn end(names: &[&str], words: Words) {
    let pair = Pair::start();
    let abi = pair.function("abi", MANIFEST).await;
    let cases = cases(&abi).await;
    let calls: Vec<Call> =
        names.iter().flat_map(|name| queries(name, cases[*name])).map(|query| with_body(&query)).collect();
    for (call, outcome) in calls.iter().zip(outcomes(&abi, &calls).await) {
        let ended = matches!(outcome, Outcome::Fault(Fault::Trap | Fault::OutOfMemory(_)));
        assert!(ended, "{call}: {outcome:?}");
    }
    pair.end(words).await;
}

#[tokio::test]
async fn what_the_host_cannot_take_ends_the_invocation() {
    end(&TOLD_DIFFERENTLY, Words::Different).await;
}

/// Handles are numbers that the guest can make up: among them are those of what the host keeps for itself.
#[tokio::test]
async fn no_handle_makes_a_host_panic() {
    let pair = Pair::start();
    let abi = pair.function("abi", MANIFEST).await;
    let count = cases(&abi).await[ANY_HANDLE];
    for query in queries(ANY_HANDLE, count) {
        for handle in 0..32 {
            abi.both(&with_body(&format!("{query}&handle={handle}"))).await;
        }
    }
}

#[tokio::test]
async fn what_the_host_does_not_allow_ends_the_invocation_in_the_same_words() {
    end(&TOLD_ALIKE, Words::Same).await;
}
