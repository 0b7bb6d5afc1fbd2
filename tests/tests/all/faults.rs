//! Guests that misbehave: what the caller reads, what the log says, and that the next call finds a new instance.

use std::time::Duration;

use samovar_model::LogStream;
use samovar_tests::{Callers, Node, eventually};

/// The next calls are answered, the first of them by a new instance.
async fn is_well_again(node: &Node, path: &str, instance_before: &str) {
    let next = node.call(path).send().await;
    assert_eq!(next.status, 200, "{}", next.text());
    assert_eq!(next.instance(), "cold");
    assert_ne!(next.header("x-samovar-instance-id"), instance_before);
    assert_eq!(node.call(path).send().await.instance(), "warm");
}

#[tokio::test]
async fn a_trap_is_a_502_of_the_function_and_leaves_a_backtrace_in_its_log() {
    let node = Node::start().await;
    node.deploy("trap").await;
    let calm = node.call("/trap?calm").send().await;
    assert_eq!(calm.ok(), "calm\n");
    let crashed = node.call("/trap").header("x-request-id", "the-crash").send().await;
    let problem = crashed.problem(502, "trap", "function");
    assert!(!problem.detail.contains("deep_in_the_guest"), "the guest's internals stay inside: {problem:?}");
    is_well_again(&node, "/trap?calm", calm.header("x-samovar-instance-id")).await;

    let crash = async || node.logs("trap").await.into_iter().find(|line| line.stream == LogStream::Crash);
    let crash = eventually("the crash in the log", crash, Option::is_some).await.unwrap();
    assert!(crash.text.contains("unreachable"), "{}", crash.text);
    assert!(crash.text.contains("deep_in_the_guest"), "{}", crash.text);
    assert_eq!(crash.request_id.as_deref(), Some("the-crash"));
    assert_eq!(crash.revision, 1);
    assert_eq!(crash.instance.to_string(), calm.header("x-samovar-instance-id"));
}

#[tokio::test]
async fn a_panic_is_a_502_and_its_message_is_in_the_log() {
    let node = Node::start().await;
    node.deploy("panic").await;
    let calm = node.call("/panic?calm").send().await;
    calm.ok();
    node.call("/panic").send().await.problem(502, "trap", "function");
    is_well_again(&node, "/panic?calm", calm.header("x-samovar-instance-id")).await;
    let log = async || node.logs("panic").await;
    let lines = eventually("message and crash in the log", log, |lines| {
        let said = |stream, text: &str| lines.iter().any(|line| line.stream == stream && line.text.contains(text));
        said(LogStream::Stderr, "the kettle is dry") && said(LogStream::Crash, "unreachable")
    });
    lines.await;
}

#[tokio::test]
async fn a_guest_past_its_wall_clock_limit_is_a_504() {
    let node = Node::start().await;
    node.function("sleep").with("limits.timeout = '400ms'").deploy().await;
    let quick = node.call("/sleep?ms=0").send().await;
    quick.ok();
    let problem = node.call("/sleep?ms=60000").send().await.problem(504, "deadline", "function");
    assert!(problem.detail.contains("400ms"), "{problem:?}");
    is_well_again(&node, "/sleep?ms=0", quick.header("x-samovar-instance-id")).await;
}

#[tokio::test]
async fn a_caller_that_does_not_send_its_body_meets_the_wall_clock_limit_too() {
    let node = Node::start().await;
    node.function("length").with("limits.timeout = '400ms'").deploy().await;
    let mut raw = node.raw().await;
    raw.send("POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status(), 504, "{answer:?}");
    assert_eq!(node.call("/length").body("abc").send().await.ok(), "3 bytes\n");
}

#[tokio::test]
async fn a_guest_past_its_cpu_budget_is_a_504_and_its_neighbours_are_served_meanwhile() {
    let node = Node::start().await;
    node.function("spin").with("limits.cpu = '1s'\nlimits.timeout = '50s'").deploy().await;
    node.deploy("hello").await;
    node.call("/hello").send().await.ok();
    let spins: Vec<_> = (0..4).map(|_| tokio::spawn(node.call("/spin").send())).collect();
    let stats = async || node.stats("spin").await.busy;
    eventually("all are spinning", stats, |busy| *busy == 4).await;
    let neighbour = Callers::one_with_pauses(&node, "/hello", Duration::from_millis(10));
    for spin in spins {
        let problem = spin.await.unwrap().problem(504, "cpu-budget", "function");
        assert!(problem.detail.contains("1s"), "{problem:?}");
    }
    let served = neighbour.stop().await.len();
    assert!(served >= 10, "only {served} neighbours were served while four guests spun");
    let stats = node.stats("spin").await;
    assert_eq!((stats.busy, stats.idle), (0, 0), "spinning instances are retired");
}

#[tokio::test]
async fn a_guest_past_its_memory_limit_is_a_502() {
    let node = Node::start().await;
    node.function("allocate").with("limits.memory = '32MiB'").deploy().await;
    let small = node.call("/allocate?mib=16").send().await;
    assert_eq!(small.ok(), "touched 4096 pages\n");
    let problem = node.call("/allocate?mib=64").send().await.problem(502, "out-of-memory", "function");
    assert!(problem.detail.contains("32MiB"), "{problem:?}");
    is_well_again(&node, "/allocate?mib=1", small.header("x-samovar-instance-id")).await;
}

#[tokio::test]
async fn a_body_that_the_guest_breaks_off_is_never_taken_for_a_whole_one() {
    let node = Node::start().await;
    for guest in ["early-drop", "half-body-then-trap"] {
        node.deploy(guest).await;
        for http2 in [false, true, false] {
            let call = node.call(&format!("/{guest}"));
            // When the head has not been sent by then, it need not be: the caller may read a 502 or find the connection
            // broken as well.
            let Ok(answer) = (if http2 { call.http2() } else { call }).try_open().await else { continue };
            match answer.finish().await {
                Err(_) => {}
                Ok(whole) => assert_eq!(whole.status, 502, "{guest}: half a body passed as a whole one: {whole:?}"),
            }
        }
        let faults = node.stats(guest).await.faults;
        assert_eq!(faults.values().sum::<u64>(), 3, "{guest}: {faults:?}");
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_promised_is_never_taken_for_a_good_one() {
    let node = Node::start().await;
    node.deploy("declared-length").await;
    let fits = node.call("/declared-length?declared=10&actual=10").send().await;
    assert_eq!(fits.ok(), "xxxxxxxxxx");
    let short = node.call("/declared-length?declared=10&actual=5").try_send().await;
    assert!(!matches!(&short, Ok(answer) if answer.status == 200), "{short:?}");
    if let Ok(long) = node.call("/declared-length?declared=5&actual=10").try_send().await {
        assert!(long.status != 200 || long.text() == "xxxxx", "{long:?}");
    }
    assert_eq!(node.call("/declared-length?declared=3&actual=3").send().await.ok(), "xxx");
}

#[tokio::test]
async fn an_instance_that_lost_its_caller_is_not_used_again() {
    let node = Node::start().await;
    node.function("counter").with("scale.max_instances = 1").deploy().await;
    for count in ["1", "2"] {
        assert_eq!(node.call("/counter").send().await.ok(), count);
    }
    let caller = node.raw_get("/counter?ms=600000").await;
    let busy = async || node.stats("counter").await.busy;
    eventually("the call is running", busy, |busy| *busy == 1).await;
    caller.close();
    let stats = async || node.stats("counter").await;
    eventually("the instance is gone", stats, |stats| stats.busy == 0 && stats.idle == 0).await;
    assert_eq!(node.call("/counter").send().await.cold(), "1");
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_an_answer_ends_the_invocation() {
    let node = Node::start().await;
    node.function("stream").with("limits.timeout = '10m'").deploy().await;
    let mut answer = node.call("/stream?count=1000000&ms=20").http2().open().await;
    answer.chunk().await.unwrap();
    drop(answer);
    let stats = async || node.stats("stream").await;
    let stats = eventually("the instance is gone", stats, |stats| stats.busy == 0 && stats.idle == 0).await;
    assert_eq!(stats.faults["caller-gone"], 1);
}

#[tokio::test]
async fn a_crash_does_not_touch_the_invocations_beside_it() {
    let node = Node::start().await;
    node.deploy("trap").await;
    node.deploy("sleep").await;
    let sleeping: Vec<_> = (0..5).map(|_| tokio::spawn(node.call("/sleep?ms=1500").send())).collect();
    let busy = async || node.stats("sleep").await.busy;
    eventually("all are sleeping", busy, |busy| *busy == 5).await;
    for _ in 0..20 {
        node.call("/trap").send().await.problem(502, "trap", "function");
    }
    for sleep in sleeping {
        assert_eq!(sleep.await.unwrap().ok(), "slept 1500\n");
    }
}
