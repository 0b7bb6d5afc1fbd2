//! Functions that call functions, as `http://NAME.samovar.internal/…`.

use std::time::Duration;

use samovar_tests::Node;

/// What is called, by guests of both kinds of WASI.
const CALLERS: [&str; 2] = ["outbound", "outbound3"];

/// A node where the guest `fetch` is deployed as this function with these settings.
async fn node(function: &str, settings: &str) -> Node {
    let node = Node::start().await;
    node.function(function).guest("fetch").with(settings).deploy().await;
    node
}

/// Waits until the function's log has a line with this in it.
async fn says(node: &Node, function: &str, text: &str) {
    let found = |lines: &Vec<samovar_model::LogLine>| lines.iter().any(|line| line.text.contains(text));
    samovar_tests::eventually(text, async || node.logs(function).await, found).await;
}

#[tokio::test]
async fn a_function_that_the_manifest_allows_is_called_by_its_name() {
    let node = Node::start().await;
    node.function("hello").with("route = '/elsewhere'").deploy().await;
    for caller in CALLERS {
        node.function(caller).with("allow_functions = ['hello']").deploy().await;
        let answer = node.call(&format!("/{caller}?url=http://hello.samovar.internal/any/path")).send().await;
        assert_eq!(answer.ok(), "hello\n");
    }
    assert_eq!(node.stats("hello").await.invocations, 2);
}

#[tokio::test]
async fn any_other_function_is_refused_and_the_log_says_what_to_do() {
    let node = Node::start().await;
    node.deploy("hello").await;
    for caller in CALLERS {
        node.function(caller).with("allow_functions = ['b']\nallow_outbound = ['*']").deploy().await;
        let answer = node.call(&format!("/{caller}?url=http://hello.samovar.internal/")).send().await;
        assert!(answer.status == 599 && answer.text().contains("HttpRequestDenied"), "{}", answer.text());
        let line = "call of function `hello` refused: add it to the manifest, [function.";
        says(&node, caller, &format!("{line}{caller}] allow_functions = [\"hello\"]")).await;
        let answer = node.call(&format!("/{caller}?url=http://b.samovar.internal/")).send().await;
        assert!(answer.status == 599 && answer.text().contains("DestinationNotFound"), "{}", answer.text());
        says(&node, caller, "call of function `b` failed: no function of that name is deployed").await;
    }
    assert_eq!(node.stats("hello").await.invocations, 0);
}

#[tokio::test]
async fn a_call_has_its_callers_request_id_and_trace_and_nothing_that_the_caller_makes_up() {
    let node = node("a", "allow_functions = ['request-facts']").await;
    node.deploy("request-facts").await;
    let url = "/a?url=http://request-facts.samovar.internal/p?q&x-samovar-depth=0&x-samovar-request-id=1";
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = |path: String| {
        let call = node.call(&path).header("x-request-id", "the-same").header("tracestate", "x=1");
        call.header("traceparent", trace).send()
    };
    let facts = call(url.to_owned()).await.json();
    assert_eq!(
        (facts["authority"].as_str(), facts["path"].as_str()),
        (Some("request-facts.samovar.internal"), Some("/p?q"))
    );
    let headers = facts["headers"].to_string();
    for passed in
        [r#"["x-request-id","the-same"]"#, &format!(r#"["traceparent","{trace}"]"#), r#"["tracestate","x=1"]"#]
    {
        assert!(headers.contains(passed), "{headers}");
    }
    assert!(!headers.contains("x-samovar-"), "{headers}");
    let own = call(format!("{url}&traceparent=00-own")).await.json()["headers"].to_string();
    assert!(own.contains(r#"["traceparent","00-own"]"#) && !own.contains("tracestate"), "{own}");
}

#[tokio::test]
async fn a_callees_fault_is_the_problem_that_a_gateway_would_tell() {
    let node = node("a", "allow_functions = ['trap', 'sleep', 'short']").await;
    node.deploy("trap").await;
    node.function("sleep").with("limits.timeout = '200ms'").deploy().await;
    node.function("short").guest("echo").with("limits.request_body = '4B'").deploy().await;
    let cases = [
        ("trap.samovar.internal/", "", 502, "trap", "function"),
        ("sleep.samovar.internal/?ms=60000", "", 504, "deadline", "function"),
        ("short.samovar.internal/", "too long", 413, "body-too-large", "platform"),
    ];
    for (url, body, status, kind, origin) in cases {
        let answer = node.call(&format!("/a?url=http://{url}")).body(body).send().await;
        assert_eq!(answer.status.as_u16(), status, "{url}: {}", answer.text());
        assert_eq!(answer.json()["type"], format!("/problems/{kind}"));
        assert_eq!(answer.headers["origin"], origin, "{url}");
    }
    let crashed = |lines: &Vec<samovar_model::LogLine>| lines.iter().any(|line| line.text.contains("unreachable"));
    samovar_tests::eventually("the callee's own log", async || node.logs("trap").await, crashed).await;
}

#[tokio::test]
async fn functions_that_call_in_a_circle_are_stopped_after_eight_calls() {
    let node = node("a", "allow_functions = ['a']\nscale.max_instances = 20").await;
    let nested = |calls: usize| {
        format!("/a?url={}http://a.samovar.internal/a", "http://a.samovar.internal/a?url=".repeat(calls - 1))
    };
    // The last one has no url to call, and traps.
    let answer = node.call(&nested(8)).send().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let answer = node.call(&nested(9)).send().await;
    assert!(answer.status == 599 && answer.text().contains("LoopDetected"), "{}", answer.text());
    says(&node, "a", "call of function `a` refused: 8 calls led here already").await;
}

#[tokio::test]
async fn a_function_that_waits_for_itself_is_told_when_its_queue_time_is_over() {
    let settings = "allow_functions = ['a']\nscale.max_instances = 1\nscale.queue_timeout = '300ms'";
    let node = node("a", settings).await;
    let answer = node.call("/a?url=http://a.samovar.internal/a").send().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.headers["origin"], "platform");
    node.settled("a").await;
}

#[tokio::test]
async fn a_callee_has_no_more_time_than_its_caller_and_goes_with_it() {
    let node = node("a", "allow_functions = ['sleep', 'b']\nlimits.timeout = '600ms'").await;
    node.function("b").guest("fetch").with("allow_functions = ['sleep']\nlimits.timeout = '60s'").deploy().await;
    node.function("sleep").with("limits.timeout = '60s'").deploy().await;
    let answer =
        node.call("/a?url=http://b.samovar.internal/b?url=http://sleep.samovar.internal/?ms=50000").send().await;
    assert_eq!(answer.status, 504);
    for function in ["a", "b", "sleep"] {
        tokio::time::timeout(Duration::from_secs(5), node.settled(function)).await.expect("long before its own limit");
    }
    let hung_up = node.call("/b?url=http://sleep.samovar.internal/?ms=50000").open();
    tokio::time::timeout(Duration::from_millis(300), hung_up).await.expect_err("no answer yet");
    tokio::time::timeout(Duration::from_secs(5), node.settled("sleep")).await.expect("its caller's caller is gone");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let node = node("a", "allow_functions = ['length', 'endless-body', 'echo']").await;
    for callee in ["length", "endless-body", "echo"] {
        node.deploy(callee).await;
    }
    let mebibytes = vec![b'x'; 3 << 20];
    let answer = node.call("/a?url=http://length.samovar.internal/").body(mebibytes).send().await;
    assert!(answer.ok().contains("3145728"), "{}", answer.text());
    assert_eq!(
        node.call("/a?url=http://echo.samovar.internal/").body("there and back").send().await.ok(),
        "there and back"
    );
    let mut endless = node.call("/a?url=http://endless-body.samovar.internal/").open().await;
    assert!(!endless.chunk().await.expect("more comes").is_empty());
    drop(endless);
    node.settled("endless-body").await;
}

#[tokio::test]
async fn a_callees_new_revision_is_called_from_its_deploy_on_and_a_deleted_one_is_not() {
    let node = node("a", "allow_functions = ['b']").await;
    let call = async || node.call("/a?url=http://b.samovar.internal/").send().await;
    node.function("b").guest("hello").deploy().await;
    samovar_tests::eventually("the first", async || call().await.text().to_owned(), |text| text == "hello\n").await;
    node.function("b").guest("request-facts").deploy().await;
    samovar_tests::eventually("the second", async || call().await.text().to_owned(), |text| text.starts_with('{'))
        .await;
    node.delete("b").await;
    samovar_tests::eventually("none", async || call().await.status, |status| *status == 599).await;
}
