//! A gateway and its hosts: real connections, hosts that do what a test tells them to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use samovar_cluster::Snapshot;
use samovar_gateway::balance::Policy;
use samovar_gateway::remote::{RemoteConfig, RemoteHosts};
use samovar_gateway::{Gateway, GatewayConfig};
use samovar_hop::message::{FAULT, LOAD, fault_header};
use samovar_hop::{Connector, Handler, HostName, Identity, Received, serve};
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
pub(crate) enum Does {
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
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
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

    async fn handle(&self, request: Request<Received>) -> Response<Full<Bytes>> {
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
pub(crate) struct Rig {
    pub(crate) gateway: SocketAddr,
    pub(crate) script: Arc<Mutex<VecDeque<Does>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) hosts: watch::Sender<Arc<Hosts>>,
    _epochs: Vec<watch::Sender<BootEpoch>>,
    pub(crate) client: Client<HttpConnector, Full<Bytes>>,
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
    pub(crate) async fn start(hosts: usize) -> Self {
        Self::with(hosts, "{}").await
    }

    pub(crate) async fn with(count: usize, manifest: &str) -> Self {
        Self::hedging(count, manifest, None).await
    }

    pub(crate) async fn hedging(count: usize, manifest: &str, hedge_after: Option<Duration>) -> Self {
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
    pub(crate) async fn reached(&self, count: usize) {
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

    pub(crate) fn will(&self, script: impl IntoIterator<Item = Does>) {
        self.script.lock().unwrap().extend(script);
    }

    /// Sends these bytes, and reads until the gateway has nothing more to say.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "the gateway keeps the connection: {}", String::from_utf8_lossy(&said));
        String::from_utf8_lossy(&said).into_owned()
    }

    pub(crate) async fn call(&self, method: Method, body: &'static [u8]) -> (StatusCode, HeaderMap, String) {
        self.send(Request::builder().method(method), body).await
    }

    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: &'static [u8],
    ) -> (StatusCode, HeaderMap, String) {
        let request = request.uri(format!("http://{}/hello", self.gateway)).body(Full::from(body)).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}
