//! A gateway in front of hosts elsewhere: what is tried again and what is not, and what no caller can do to others.
#![allow(clippy::unwrap_used, reason = "a test that meets an error should stop there")]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use samovar_hop::message::{ELAPSED, FAULT, LOAD, TARGET};
use samovar_model::{Fault, HostId, HostState};

use rig::{Does, Rig};

#[tokio::test]
async fn a_host_is_told_what_it_must_know_and_a_caller_nothing_of_the_hop() {
    let rig = Rig::start(1).await;
    let request = Request::builder().header("connection", "x-one, close").header("x-one", "1").header("x-two", "2");
    let request = request.header("keep-alive", "9").header("x-samovar-target", "evil@1;1");
    let (status, head, body) = rig.send(request, b"").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "h1"));
    assert!(head.get(LOAD).is_none() && head.get(FAULT).is_none(), "{head:?}");
    let seen = rig.seen().remove(0);
    assert_eq!(seen.headers[TARGET], "hello@3;5");
    assert_eq!(seen.uri, format!("http://{}/hello", rig.gateway), "the host that the caller named");
    assert_eq!(seen.headers["x-two"], "2");
    for gone in ["connection", "keep-alive", "x-one", "host", ELAPSED.as_str()] {
        assert!(seen.headers.get(gone).is_none(), "{gone}: {:?}", seen.headers);
    }
    assert!(seen.headers.contains_key("x-request-id") && seen.headers.contains_key("forwarded"));
}

#[tokio::test]
async fn a_request_that_was_never_begun_is_tried_elsewhere_whatever_its_method() {
    let rig = Rig::start(3).await;
    for fault in [Fault::Draining, Fault::QueueFull(1), Fault::NotAvailable, Fault::NoCapacity] {
        rig.will([Does::Fault(fault.clone()), Does::Answer]);
        let (status, _, _) = rig.call(Method::POST, b"body").await;
        assert_eq!(status, StatusCode::OK, "{fault:?}");
        let seen = rig.seen();
        assert_eq!(seen.len(), 2, "{fault:?}");
        assert_ne!(seen[0].host, seen[1].host);
        assert_eq!(seen[1].body.as_ref(), b"body", "all of it, again");
        assert!(seen[0].headers.get(ELAPSED).is_none() && seen[1].headers.get(ELAPSED).is_some());
    }
}

#[tokio::test]
async fn what_is_the_functions_own_is_told_and_not_tried_again() {
    let rig = Rig::start(3).await;
    let faults = [
        (Fault::Trap, 502, "trap"),
        (Fault::Start, 502, "start"),
        (Fault::Deadline(Duration::from_secs(1)), 504, "deadline"),
        (Fault::HostMemory { started: true }, 503, "host-memory"),
    ];
    for (fault, status, label) in faults {
        rig.will([Does::Fault(fault)]);
        let (told, _, body) = rig.call(Method::GET, b"").await;
        assert_eq!((told.as_u16(), rig.seen().len()), (status, 1), "{label}");
        assert!(body.contains(&format!("/problems/{label}")), "{body}");
    }
}

#[tokio::test]
async fn a_lost_request_is_sent_again_only_if_that_does_no_harm() {
    let rig = Rig::start(3).await;
    for does in [Does::Break, Does::Crash] {
        rig.will([does.clone()]);
        let (status, _, _) = rig.call(Method::PUT, b"body").await;
        assert_eq!((status, rig.seen().len()), (StatusCode::OK, 2), "{does:?}");
        rig.reached(3).await;
        rig.will([does.clone()]);
        let (status, head, body) = rig.call(Method::POST, b"body").await;
        assert_eq!((status, rig.seen().len()), (StatusCode::SERVICE_UNAVAILABLE, 1), "{does:?}");
        assert!(body.contains("/problems/host-lost"), "{body}");
        assert!(head.get("retry-after").is_none(), "coming again by itself might run it twice");
        rig.reached(3).await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_to_keep_is_not_sent_again() {
    const LONG: &[u8] = &[b'x'; 200 << 10];
    let rig = Rig::start(3).await;
    rig.will([Does::Break]);
    let (status, _, _) = rig.call(Method::PUT, LONG).await;
    assert_eq!((status, rig.seen().len()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    rig.reached(3).await;
    let (status, _, _) = rig.call(Method::PUT, LONG).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(rig.seen()[0].body.len(), LONG.len());
}

#[tokio::test]
async fn a_request_is_not_tried_on_more_hosts_than_four() {
    let rig = Rig::start(6).await;
    rig.will(vec![Does::Fault(Fault::QueueFull(1)); 6]);
    let (status, _, body) = rig.call(Method::GET, b"").await;
    assert_eq!((status, rig.seen().len()), (StatusCode::SERVICE_UNAVAILABLE, 4));
    assert!(body.contains("queue-full"), "the last one's word: {body}");
    rig.script.lock().unwrap().clear();
}

#[tokio::test]
async fn without_a_host_a_caller_is_told_to_come_again() {
    let rig = Rig::start(1).await;
    rig.hosts.send_replace(Arc::default());
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let (status, head, body) = rig.call(Method::GET, b"").await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(body.contains("/problems/no-hosts"), "{body}");
            assert!(head.contains_key("retry-after"));
            return;
        }
        assert!(tokio::time::Instant::now() < end, "the host is still used");
    }
}

#[tokio::test]
async fn a_draining_host_is_given_nothing_and_one_that_is_suspect_only_if_it_cannot_be_reached() {
    let rig = Rig::start(3).await;
    rig.hosts.send_modify(|hosts| {
        for (id, member) in &mut Arc::make_mut(hosts).members {
            match id.as_str() {
                "h1" => member.state = HostState::Draining,
                "h2" => member.state = HostState::Suspect,
                _ => {}
            }
        }
    });
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        rig.seen();
        for _ in 0..10 {
            rig.call(Method::GET, b"").await;
        }
        let seen = rig.seen();
        if seen.iter().all(|seen| seen.host != "h1") {
            assert!(seen.iter().any(|seen| seen.host == "h2"), "its lease is late, and it answers");
            return;
        }
        assert!(tokio::time::Instant::now() < end, "a draining host is given requests");
    }
}

#[tokio::test]
async fn callers_of_a_sticky_route_come_back_to_their_host() {
    let rig = Rig::with(3, r#"{ "route": [{ "path": "/hello", "sticky": true }] }"#).await;
    let (_, head, first) = rig.call(Method::GET, b"").await;
    let cookie = head["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    for _ in 0..6 {
        let (_, head, body) = rig.send(Request::builder().header("cookie", &cookie), b"").await;
        assert_eq!(body, first);
        assert!(head.get("set-cookie").is_none(), "it is known already");
    }
    // The hint yields: the host is going away.
    rig.hosts.send_modify(|hosts| {
        let id: HostId = first.parse().unwrap();
        Arc::make_mut(hosts).members.get_mut(&id).unwrap().state = HostState::Draining;
    });
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let (status, head, body) = rig.send(Request::builder().header("cookie", &cookie), b"").await;
        assert_eq!(status, StatusCode::OK);
        if body != first {
            assert!(head["set-cookie"].to_str().unwrap().starts_with(&format!("samovar-host={body}.")));
            return;
        }
        assert!(tokio::time::Instant::now() < end, "the host is still used");
    }
}

#[tokio::test]
async fn a_slow_host_is_not_waited_for_where_that_is_asked_for_and_does_no_harm() {
    const SLOW: Duration = Duration::from_millis(700);
    let rig = Rig::hedging(3, "{}", Some(Duration::from_millis(50))).await;
    rig.will([Does::Late(SLOW)]);
    let begun = tokio::time::Instant::now();
    let (status, _, _) = rig.call(Method::GET, b"").await;
    assert_eq!((status, rig.seen().len()), (StatusCode::OK, 2));
    assert!(begun.elapsed() < SLOW);
    rig.will([Does::Late(SLOW)]);
    let (status, _, _) = rig.call(Method::DELETE, b"").await;
    assert_eq!((status, rig.seen().len()), (StatusCode::OK, 1), "it does not only read");
}

#[tokio::test]
async fn a_host_that_has_not_compiled_a_function_yet_is_passed_over_for_it() {
    let rig = Rig::start(2).await;
    rig.will([Does::Fault(Fault::NotPrepared)]);
    let (status, _, ready) = rig.call(Method::POST, b"body").await;
    assert_eq!((status, rig.seen().len()), (StatusCode::OK, 2));
    for _ in 0..4 {
        assert_eq!(rig.call(Method::GET, b"").await.2, ready, "the other one would be next in turn");
    }
}

#[tokio::test]
async fn the_only_host_compiles_a_function_while_its_caller_waits() {
    let rig = Rig::start(1).await;
    rig.will([Does::Fault(Fault::NotPrepared)]);
    let (status, _, _) = rig.call(Method::GET, b"").await;
    let seen = rig.seen();
    assert_eq!((status, seen.len()), (StatusCode::OK, 2));
    assert!(seen[1].headers.get(ELAPSED).is_some(), "what says that the host is to wait for it");
}

#[tokio::test]
async fn no_head_takes_a_host_away_from_other_callers() {
    let rig = Rig::start(2).await;
    for _ in 0..4 {
        let said = rig.raw(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: host, close\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        for host in ["a%b", "a:b:c", "a:x", "[::1", "a@b", ":80"] {
            let head = format!("GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let said = rig.raw(head.as_bytes()).await;
            assert!(said.starts_with("HTTP/1.1 400"), "{host}: {said}");
        }
    }
    for host in ["a:80", "[::1]:80", "127.0.0.1", "A-b.c_d:1"] {
        let head = format!("GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert!(rig.raw(head.as_bytes()).await.starts_with("HTTP/1.1 200"), "{host}");
    }
}

#[tokio::test]
async fn a_caller_cannot_take_out_what_the_gateway_says() {
    let rig = Rig::start(1).await;
    let request = Request::builder().header("connection", "forwarded").header("connection", "x-request-id, x-one");
    rig.send(request.header("x-one", "1"), b"").await;
    let seen = rig.seen().remove(0);
    assert!(seen.headers.contains_key("x-request-id") && seen.headers.contains_key("forwarded"), "{:?}", seen.headers);
    assert!(!seen.headers.contains_key("x-one"));
}

#[tokio::test]
async fn a_body_that_its_caller_breaks_off_is_not_the_hosts_fault() {
    let rig = Rig::start(2).await;
    for _ in 0..12 {
        let said =
            rig.raw(b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n").await;
        assert!(!said.contains("host-lost"), "{said}");
    }
    // Neither host is left alone for it.
    rig.reached(2).await;
}

#[tokio::test]
async fn hosts_are_reached_again_after_their_connections_broke() {
    let rig = Rig::start(2).await;
    for _ in 0..3 {
        rig.will([Does::Break, Does::Break]);
        let (status, _, _) = rig.call(Method::GET, b"").await;
        assert!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        rig.script.lock().unwrap().clear();
        rig.reached(2).await;
    }
}
