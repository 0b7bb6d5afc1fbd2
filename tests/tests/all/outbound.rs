//! Requests that functions send: refused unless the manifest allows the destination, within limits, over connections that are
//! used again.

use std::time::{Duration, Instant};

use samovar_tests::{Backend, Load, Node, Silent, Tally};

const GUESTS: [&str; 2] = ["outbound", "outbound3"];

/// Everywhere, this machine included.
const ANYWHERE: &str = "allow_outbound = ['*']\nallow_private = true";

/// Waits until the function's log has a line with this in it.
async fn says(node: &Node, function: &str, text: &str) {
    let found = |lines: &Vec<samovar_model::LogLine>| lines.iter().any(|line| line.text.contains(text));
    samovar_tests::eventually(text, async || node.logs(function).await, found).await;
}

#[tokio::test]
async fn nothing_is_allowed_by_default_and_the_log_says_what_to_do() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    let origin = backend.origin();
    for guest in GUESTS {
        node.deploy(guest).await;
        let answer = node.call(&format!("/{guest}?url={origin}/x")).send().await;
        assert_eq!(answer.status, 599, "{}", answer.text());
        assert!(answer.text().contains("HttpRequestDenied"), "{}", answer.text());
        let line = format!(
            "outbound request to {origin} refused: add it to the manifest, [function.{guest}] \
             allow_outbound = [\"{origin}\"] and allow_private = true"
        );
        says(&node, guest, &line).await;
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn what_the_manifest_allows_is_sent_and_the_answer_passed_on() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    for guest in GUESTS {
        let allow = format!("allow_outbound = ['{}']\nallow_private = true", backend.origin());
        node.function(guest).with(&allow).deploy().await;
        let answer = node.call(&format!("/{guest}?url={}/some/path", backend.origin())).send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (203, "backend says /some/path"));
    }
}

#[tokio::test]
async fn another_port_of_an_allowed_host_is_still_refused() {
    let (node, allowed, other) = (Node::start().await, Backend::start().await, Backend::start().await);
    for guest in GUESTS {
        let allow = format!("allow_outbound = ['{}']\nallow_private = true", allowed.origin());
        node.function(guest).with(&allow).deploy().await;
        let answer = node.call(&format!("/{guest}?url={}/x", other.origin())).send().await;
        assert_eq!(answer.status, 599, "{}", answer.text());
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_what_follows_it_a_request_like_the_first() {
    let (node, backend, other) = (Node::start().await, Backend::start().await, Backend::start().await);
    let redirect = format!("{}/redirect/{}/x", backend.origin(), other.origin());
    for guest in GUESTS {
        let allow = |origins: &str| format!("allow_outbound = [{origins}]\nallow_private = true");
        node.function(guest).with(&allow(&format!("'{}'", backend.origin()))).deploy().await;
        let answer = node.call(&format!("/{guest}?url={redirect}")).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (302, format!("{}/x", other.origin()).as_str())
        );
        let followed = node.call(&format!("/{guest}?follow&url={redirect}")).send().await;
        assert!(followed.status == 599 && followed.text().contains("HttpRequestDenied"), "{}", followed.text());
        let line = format!(
            "outbound request to {0} refused: add it to the manifest, [function.{guest}] allow_outbound = [\"{0}\"]",
            other.origin()
        );
        says(&node, guest, &line).await;
        assert_eq!(other.connections(), 0);
    }
    for guest in GUESTS {
        node.function(guest).with(ANYWHERE).deploy().await;
        let followed = node.call(&format!("/{guest}?follow&url={redirect}")).send().await;
        assert_eq!((followed.status.as_u16(), followed.text()), (203, "backend says /x"), "where both are allowed");
    }
}

#[tokio::test]
async fn a_redirect_leads_to_no_private_address() {
    let (node, backend, other) = (Node::start().await, Backend::start().await, Backend::start().await);
    // Nothing on this machine has a public address; what another function answers comes from none.
    node.function("front").guest("outbound").with(ANYWHERE).deploy().await;
    for guest in GUESTS {
        node.function(guest).with("allow_outbound = ['*']\nallow_functions = ['front']").deploy().await;
        for private in [other.origin(), "http://169.254.169.254".to_owned()] {
            let redirect = format!("http://front.samovar.internal/?url={}/redirect/{private}/x", backend.origin());
            let answer = node.call(&format!("/{guest}?url={redirect}")).send().await;
            let location = format!("{private}/x");
            assert_eq!((answer.status.as_u16(), answer.header("location")), (302, location.as_str()));
            let followed = node.call(&format!("/{guest}?follow&url={redirect}")).send().await;
            assert!(followed.text().contains("DestinationIpProhibited"), "{private}: {}", followed.text());
            let address: http::Uri = private.parse().unwrap();
            let line = format!(
                "outbound request to {private} refused: {} is not a public address; if it is meant, add to the manifest, \
                 [function.{guest}] allow_private = true",
                address.host().unwrap()
            );
            says(&node, guest, &line).await;
        }
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    const SPELLINGS: [&str; 9] = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ];
    let (node, backend) = (Node::start().await, Backend::start().await);
    let port = backend.port();
    for guest in GUESTS {
        node.function(guest).with("allow_outbound = ['*']").deploy().await;
        for host in SPELLINGS {
            let answer = node.call(&format!("/{guest}?url=http://{host}:{port}/x")).send().await;
            assert_eq!(answer.status, 599, "{host}: {}", answer.text());
            assert!(answer.text().contains("DestinationIpProhibited"), "{host}: {}", answer.text());
            says(&node, guest, &format!("outbound request to http://{host}:{port} refused: ")).await;
        }
        let line = format!(
            "outbound request to http://127.1:{port} refused: 127.0.0.1 is not a public address; if it is meant, add to the \
             manifest, [function.{guest}] allow_private = true"
        );
        says(&node, guest, &line).await;
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn the_platforms_own_listeners_are_at_private_addresses() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.function("outbound").with("allow_outbound = ['*']").deploy().await;
    for url in [format!("http://{}/hello", node.gateway()), format!("http://{}/healthz", node.control())] {
        let answer = node.call(&format!("/outbound?url={url}")).send().await;
        assert!(answer.text().contains("DestinationIpProhibited"), "{url}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_connection_of_a_function_that_may_use_private_addresses_serves_no_other() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    node.function("may").guest("outbound").with(ANYWHERE).deploy().await;
    node.function("may-not").guest("outbound").with("allow_outbound = ['*']").deploy().await;
    let url = format!("url={}/x", backend.origin());
    assert_eq!(node.call(&format!("/may?{url}")).send().await.status, 203);
    let answer = node.call(&format!("/may-not?{url}")).send().await;
    assert!(answer.text().contains("DestinationIpProhibited"), "{}", answer.text());
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn connections_to_a_destination_are_used_again() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    node.function("outbound").with(ANYWHERE).deploy().await;
    for i in 0..20 {
        let answer = node.call(&format!("/outbound?url={}/{i}", backend.origin())).send().await;
        assert_eq!(answer.text(), format!("backend says /{i}"));
    }
    // By another function, too, by instances that are made anew, and after a connection's end.
    node.function("fresh").guest("outbound").with(&format!("isolation = 'request'\n{ANYWHERE}")).deploy().await;
    let paths = ["/x", "/y", "/close", "/x", "/y"];
    for path in paths {
        assert_eq!(node.call(&format!("/fresh?url={}{path}", backend.origin())).send().await.status, 203);
    }
    // What was read to its end is not always known to be when the next request is sent.
    assert!(backend.connections() <= 4, "{} connections for {} requests", backend.connections(), 20 + paths.len());
}

#[tokio::test]
async fn servers_with_tls_are_trusted_by_the_operators_authorities_and_spoken_to_in_their_version() {
    let servers: [(&str, &[&str], usize); 2] = [("HTTP/2.0", &["h2", "http/1.1"], 1), ("HTTP/1.1", &["http/1.1"], 2)];
    for (version, offered, most) in servers {
        let backend = Backend::secure(offered).await;
        let file = backend.authority().to_str().expect("text");
        let node = Node::builder().arg("--outbound-ca-file", file).start().await;
        for guest in GUESTS {
            node.function(guest).with(ANYWHERE).deploy().await;
            for _ in 0..5 {
                let url = format!("/{guest}?url={}/version", backend.origin());
                assert_eq!(node.call(&url).send().await.text(), version);
            }
        }
        assert!(backend.connections() <= most, "{version}: {} connections", backend.connections());
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let (node, backend) = (Node::start().await, Backend::secure(&["h2"]).await);
    for guest in GUESTS {
        node.function(guest).with(ANYWHERE).deploy().await;
        let answer = node.call(&format!("/{guest}?url={}/x", backend.origin())).send().await;
        assert!(answer.text().contains("TlsCertificateError"), "{}", answer.text());
    }
    let plain = Backend::start().await;
    let answer = node.call(&format!("/outbound?url=https://127.0.0.1:{}/x", plain.port())).send().await;
    assert!(answer.text().contains("TlsProtocolError"), "{}", answer.text());
}

#[tokio::test]
async fn a_file_of_authorities_that_has_none_is_an_error_that_names_it() {
    let empty = tempfile::NamedTempFile::new().expect("a temporary file");
    let file = empty.path().to_str().expect("text");
    let failed = Node::builder().arg("--outbound-ca-file", file).fail().await;
    let expected = format!("--outbound-ca-file {file}: there is no certificate in it");
    assert!(failed.stderr.contains(&expected), "{}", failed.stderr);
    let failed = Node::builder().arg("--outbound-ca-file", "/not/there").fail().await;
    assert!(failed.stderr.contains("--outbound-ca-file /not/there: "), "{}", failed.stderr);
}

#[tokio::test]
async fn destinations_that_cannot_be_reached_have_the_code_that_wasi_has_for_it() {
    let node = Node::start().await;
    let gone = Backend::start().await.origin();
    for guest in GUESTS {
        node.function(guest).with(ANYWHERE).deploy().await;
        for (url, code) in [(gone.as_str(), "ConnectionRefused"), ("http://no-such-name.invalid", "DnsError")] {
            let answer = node.call(&format!("/{guest}?url={url}/x")).send().await;
            assert_eq!(answer.status, 599, "{url}: {}", answer.text());
            assert!(answer.text().contains(code), "{url}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn each_time_out_of_a_request_is_honoured_by_itself() {
    let (node, backend, silent) = (Node::start().await, Backend::start().await, Silent::start().await);
    node.function("fetch").with(ANYWHERE).deploy().await;
    let fetch = async |url: String, times: &str| {
        let (begun, answer) = (Instant::now(), node.call(&format!("/fetch?url={url}&{times}")).send().await);
        assert!(begun.elapsed() < Duration::from_secs(10), "{times}");
        answer.text().to_owned()
    };
    // Of a server that accepts the connection and says nothing: TLS is a part of connecting, and the first byte is not.
    let silence = fetch(format!("https://{}", silent.address()), "connect=200").await;
    assert!(silence.contains("ConnectionTimeout"), "{silence}");
    let silence = fetch(format!("http://{}", silent.address()), "first=200").await;
    assert!(silence.contains("ConnectionReadTimeout"), "{silence}");
    // Time for one of them is no time for another.
    let held = fetch(format!("{}/hold/500", backend.origin()), "connect=100&between=100").await;
    assert_eq!(held, "backend says /hold/500");
    let stalled = fetch(format!("{}/stall", backend.origin()), "between=200&first=5000").await;
    assert!(stalled.starts_with("half broke off: ") && stalled.contains("ConnectionReadTimeout"), "{stalled}");
}

#[tokio::test]
async fn a_slow_answer_ends_by_the_functions_own_limit() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    node.function("fetch").with(&format!("{ANYWHERE}\noutbound.timeout = '300ms'")).deploy().await;
    let answer = node.call(&format!("/fetch?url={}/hold/60000&first=50000", backend.origin())).send().await;
    assert!(answer.text().contains("ConnectionReadTimeout"), "{}", answer.text());
    let line = format!(
        "outbound request to {} was given up: no answer in 300ms; raise it in the manifest, [function.fetch.outbound] timeout",
        backend.origin()
    );
    says(&node, "fetch", &line).await;
}

#[tokio::test]
async fn an_answer_past_the_limit_is_cut_off_or_not_begun() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    node.function("fetch").with(&format!("{ANYWHERE}\noutbound.response_body = '10KiB'")).deploy().await;
    let fetch = async |path: &str| node.call(&format!("/fetch?url={}{path}", backend.origin())).send().await;
    assert_eq!(fetch("/sized/10240").await.body.len(), 10_240);
    assert_eq!(fetch("/bytes/10000").await.body.len(), 10_000);
    let answer = fetch("/sized/10241").await;
    assert!(answer.status == 599 && answer.text().contains("HttpResponseBodySize(Some(10240))"), "{}", answer.text());
    let answer = fetch("/bytes/11000").await;
    let end = "x broke off: Some(ErrorCode::HttpResponseBodySize(Some(10240)))";
    assert!(answer.text().ends_with(end), "{}", answer.text());
    let line = format!(
        "the answer of {} was cut off: it is larger than 10KiB; raise it in the manifest, [function.fetch.outbound] response_body",
        backend.origin()
    );
    says(&node, "fetch", &line).await;
}

#[tokio::test]
async fn requests_past_the_functions_number_wait_for_a_place_within_their_time() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    node.function("fetch").with(&format!("{ANYWHERE}\noutbound.concurrency = 1")).deploy().await;
    let fetch = |path: &str, times: &str| node.call(&format!("/fetch?url={}{path}&{times}", backend.origin())).send();
    let (first, second) = tokio::join!(fetch("/hold/300", ""), fetch("/hold/200", ""));
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (203, 203));
    let (held, refused) = tokio::join!(fetch("/hold/3000", ""), async {
        samovar_tests::eventually("one waits", async || node.stats("fetch").await.busy, |busy| *busy > 0).await;
        fetch("/x", "connect=100").await
    });
    assert_eq!(held.status, 203);
    assert!(refused.text().contains("ConnectionLimitReached"), "{}", refused.text());
    let line = "gave up waiting: 1 are under way; raise it in the manifest, [function.fetch.outbound] concurrency";
    says(&node, "fetch", line).await;
}

#[tokio::test]
async fn a_function_may_call_another_one_through_the_gateway() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let settings = format!("allow_outbound = ['http://{}']\nallow_private = true", node.gateway());
    node.function("outbound").with(&settings).deploy().await;
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
