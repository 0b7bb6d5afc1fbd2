//! A gateway in front of hosts elsewhere: real connections, hosts that do what a test tells them to.
#![allow(clippy::unwrap_used, reason = "a test that meets an error should stop there")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use samovar_cluster::Snapshot;
use samovar_gateway::balance::Policy;
use samovar_gateway::remote::{RemoteConfig, RemoteHosts};
use samovar_gateway::{Gateway, GatewayConfig};
use samovar_hop::message::{ELAPSED, FAULT, LOAD, TARGET, fault_header};
use samovar_hop::{Connector, Handler, HostName, Identity, serve};
use samovar_model::manifest::FunctionTable;
use samovar_model::{
    BootEpoch, ByteSize, ComponentKind, Digest, Fault, FunctionState, HostCapacity, HostId, HostRecord, HostReport,
    HostState, Hosts, Member, Revision, RevisionNumber,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What a host does with a request.
#[derive(Debug, Clone)]
enum Does {
    Answer,
    Fault(Fault),
    /// Reads the body, and loses the connection.
    Break,
    /// Reads the body, and gives up this request alone.
    Crash,
    /// Answers late.
    Late(Duration),
}

/// A request as a host saw it.
#[derive(Debug, Clone)]
struct Seen {
    host: String,
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A host that follows a script that all hosts share: whichever is asked first does what comes first.
struct Fake {
    name: String,
    script: Arc<Mutex<VecDeque<Does>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Cuts all connections to it.
    cut: Arc<Notify>,
}

/// Passes connections on, until they are cut.
async fn proxy(listener: TcpListener, to: SocketAddr, cut: Arc<Notify>) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        let cut = Arc::clone(&cut);
        tokio::spawn(async move {
            let Ok(mut to) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                () = cut.notified() => {}
            }
        });
    }
}

impl Handler for Fake {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let does = self.script.lock().unwrap().pop_front().unwrap_or(Does::Answer);
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let (host, uri) = (self.name.clone(), head.uri.to_string());
        self.seen.lock().unwrap().push(Seen { host, uri, headers: head.headers, body });
        let mut response = Response::new(Full::from(self.name.clone()));
        response.headers_mut().insert(LOAD, 1.into());
        match does {
            Does::Answer => {}
            Does::Late(span) => tokio::time::sleep(span).await,
            Does::Fault(fault) => {
                response = response.map(|_| Full::default());
                response.headers_mut().insert(FAULT, fault_header(&fault));
            }
            Does::Break => {
                self.cut.notify_waiters();
                std::future::pending::<()>().await;
            }
            // The request's task ends, and its stream is reset.
            Does::Crash => panic!("the request is given up, as the test wants it"),
        }
        response
    }
}

/// A gateway and its hosts.
struct Rig {
    gateway: SocketAddr,
    script: Arc<Mutex<VecDeque<Does>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    hosts: watch::Sender<Arc<Hosts>>,
    _epochs: Vec<watch::Sender<BootEpoch>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

fn member(id: &HostId, address: String, state: HostState) -> Member {
    let record = HostRecord {
        id: id.clone(),
        address,
        version: "0.1.0".to_owned(),
        epoch: BootEpoch(1),
        started: Timestamp::UNIX_EPOCH,
        capacity: HostCapacity { instances: 100, memory_bytes: 1 << 30, slots: 64 },
        report: HostReport::default(),
    };
    Member { record: Arc::new(record), state }
}

/// One function, `hello`, at version 5 of the registry.
fn snapshot(manifest: &str) -> Snapshot {
    let name: samovar_model::FunctionName = "hello".parse().unwrap();
    let table: FunctionTable = serde_json::from_str(manifest).unwrap();
    let revision = Revision {
        number: RevisionNumber(3),
        created: Timestamp::UNIX_EPOCH,
        artifact: Digest::of(b"x"),
        size: ByteSize::bytes(1),
        kind: ComponentKind::Wasi02,
        settings: table.settings(&name).unwrap(),
    };
    let state = FunctionState { name: name.clone(), current: revision.number, revisions: vec![Arc::new(revision)] };
    Snapshot { version: 5, functions: BTreeMap::from([(name, Arc::new(state))]) }
}

impl Rig {
    async fn start(hosts: usize) -> Self {
        Self::with(hosts, "{}").await
    }

    async fn with(count: usize, manifest: &str) -> Self {
        Self::hedging(count, manifest, None).await
    }

    async fn hedging(count: usize, manifest: &str, hedge_after: Option<Duration>) -> Self {
        let identity = Identity::new(Some("0123456789abcdef"), None).unwrap();
        let (script, seen) = (Arc::default(), Arc::default());
        let (mut members, mut epochs) = (BTreeMap::new(), Vec::new());
        for number in 1..=count {
            let id: HostId = format!("h{number}").parse().unwrap();
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = front.local_addr().unwrap().to_string();
            let cut = Arc::new(Notify::new());
            tokio::spawn(proxy(front, listener.local_addr().unwrap(), Arc::clone(&cut)));
            let (epoch, epochs_of) = watch::channel(BootEpoch(1));
            epochs.push(epoch);
            let name = HostName { id: id.clone(), epoch: epochs_of };
            let fake = Fake { name: id.to_string(), script: Arc::clone(&script), seen: Arc::clone(&seen), cut };
            tokio::spawn(serve(listener, identity.clone(), name, Arc::new(fake), CancellationToken::new()));
            members.insert(id.clone(), member(&id, address, HostState::Ready));
        }
        let (hosts, watch) = watch::channel(Arc::new(Hosts { members }));
        let config = RemoteConfig {
            policy: Policy::RoundRobin,
            connections_per_host: 1,
            connect_patience: Duration::from_millis(500),
            hedge_after,
        };
        let remote = RemoteHosts::new(config, Connector::new(identity));
        let gateway = Gateway::new(GatewayConfig::default(), remote.clone());
        gateway.apply(&snapshot(manifest));
        tokio::spawn(async move { remote.follow(watch).await });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { gateway.serve(listener, CancellationToken::new()).await });
        let client = Client::builder(TokioExecutor::new()).build_http();
        let rig = Self { gateway: address, script, seen, hosts, _epochs: epochs, client };
        rig.reached(count).await;
        rig
    }

    /// Waits until so many hosts answer.
    async fn reached(&self, count: usize) {
        let end = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            self.seen.lock().unwrap().clear();
            for _ in 0..count * 2 {
                self.call(Method::GET, b"").await;
            }
            let seen = self.seen.lock().unwrap().clone();
            let hosts: std::collections::BTreeSet<_> = seen.iter().map(|seen| &seen.host).collect();
            if hosts.len() >= count {
                break;
            }
            assert!(tokio::time::Instant::now() < end, "only {hosts:?} are reached");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.seen.lock().unwrap().clear();
    }

    fn will(&self, script: impl IntoIterator<Item = Does>) {
        self.script.lock().unwrap().extend(script);
    }

    /// Sends these bytes, and reads until the gateway has nothing more to say.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "the gateway keeps the connection: {}", String::from_utf8_lossy(&said));
        String::from_utf8_lossy(&said).into_owned()
    }

    async fn call(&self, method: Method, body: &'static [u8]) -> (StatusCode, HeaderMap, String) {
        self.send(Request::builder().method(method), body).await
    }

    async fn send(&self, request: http::request::Builder, body: &'static [u8]) -> (StatusCode, HeaderMap, String) {
        let request = request.uri(format!("http://{}/hello", self.gateway)).body(Full::from(body)).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

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
