//! Requests that functions send: refused unless the manifest allows the destination.

use std::time::Duration;

use samovar_tests::{Backend, Load, Node, Tally};

const GUESTS: [&str; 2] = ["outbound", "outbound3"];

#[tokio::test]
async fn nothing_is_allowed_by_default_and_the_log_says_what_to_do() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    for guest in GUESTS {
        node.deploy(guest).await;
        let answer = node.call(&format!("/{guest}?url={}/x", backend.origin())).send().await;
        assert_eq!(answer.status, 599, "{}", answer.text());
        assert!(answer.text().contains("HttpRequestDenied"), "{}", answer.text());
        let helpful = |lines: &Vec<samovar_model::LogLine>| {
            let says = |line: &samovar_model::LogLine| {
                line.text.contains("allow_outbound") && line.text.contains(&backend.origin())
            };
            lines.iter().any(says)
        };
        samovar_tests::eventually("a helpful word", async || node.logs(guest).await, helpful).await;
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn what_the_manifest_allows_is_sent_and_the_answer_passed_on() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    for guest in GUESTS {
        let allow = format!("allow_outbound = ['{}']", backend.origin());
        node.function(guest).with(&allow).deploy().await;
        let answer = node.call(&format!("/{guest}?url={}/some/path", backend.origin())).send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (203, "backend says /some/path"));
    }
}

#[tokio::test]
async fn another_port_of_an_allowed_host_is_still_refused() {
    let (node, allowed, other) = (Node::start().await, Backend::start().await, Backend::start().await);
    for guest in GUESTS {
        node.function(guest).with(&format!("allow_outbound = ['{}']", allowed.origin())).deploy().await;
        let answer = node.call(&format!("/{guest}?url={}/x", other.origin())).send().await;
        assert_eq!(answer.status, 599, "{}", answer.text());
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn connections_to_a_destination_are_used_again() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    node.function("outbound").with("allow_outbound = ['*']").deploy().await;
    for i in 0..20 {
        let answer = node.call(&format!("/outbound?url={}/{i}", backend.origin())).send().await;
        assert_eq!(answer.text(), format!("backend says /{i}"));
    }
    assert!(backend.connections() < 5, "{} connections for 20 requests", backend.connections());
}

#[tokio::test]
async fn a_destination_that_refuses_the_connection_is_an_error_code_for_the_guest() {
    let node = Node::start().await;
    let gone = Backend::start().await.origin();
    for guest in GUESTS {
        node.function(guest).with("allow_outbound = ['*']").deploy().await;
        let answer = node.call(&format!("/{guest}?url={gone}/x")).send().await;
        assert_eq!(answer.status, 599, "{}", answer.text());
        assert!(answer.text().contains("ConnectionRefused"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_function_may_call_another_one_through_the_gateway() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.function("outbound").with(&format!("allow_outbound = ['http://{}']", node.gateway())).deploy().await;
    let answer = node.call(&format!("/outbound?url=http://{}/hello", node.gateway())).send().await;
    assert_eq!(answer.ok(), "hello\n");
}

#[tokio::test]
async fn a_request_is_run_once_and_the_function_itself_counts() {
    let (node, tally) = (Node::start().await, Tally::start());
    node.function("tally").with(&tally.settings()).deploy().await;
    for _ in 0..2 {
        assert_eq!(node.call("/tally?id=mine").send().await.ok(), "mine");
    }
    assert_eq!(tally.repeated(), ["mine"], "two calls, two runs");
    let paths = |number| format!("/tally?id={number}");
    let load = Load::on(&[node.gateway()]).method(http::Method::POST).paths(paths).rate(200).start();
    samovar_tests::eventually("200 runs", async || tally.runs().len(), |runs| *runs > 200).await;
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    assert_eq!((tally.runs().len(), tally.repeated().len()), (report.sent() + 1, 1));
    assert!(report.whole().p50 > Duration::ZERO, "{report}");
}
