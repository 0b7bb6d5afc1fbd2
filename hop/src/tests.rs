//! Connections between members and hosts, over loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use samovar_model::BootEpoch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::greeting::{End, Hello, PROTOCOL, Welcome, nonce, prove};
use crate::serve::MAX_STRANGERS;
use crate::{ConnectError, Connector, Handler, HostName, Identity, IdentityError, Link, Received, TlsFiles, serve};

mod bodies;

const SECRET: &str = "0123456789abcdef";

/// Answers every request with its path, and counts them.
#[derive(Default)]
struct Echo(AtomicUsize);

impl Handler for Echo {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Received>) -> Response<Full<Bytes>> {
        self.0.fetch_add(1, Relaxed);
        Response::new(Bytes::from(request.uri().path().to_owned()).into())
    }
}

struct Host {
    address: SocketAddr,
    echo: Arc<Echo>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    _epoch: watch::Sender<BootEpoch>,
}

async fn host(identity: Identity) -> Host {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (echo, stop) = (Arc::new(Echo::default()), CancellationToken::new());
    let (sender, epoch) = watch::channel(BootEpoch(7));
    let name = HostName { id: "h1".parse().unwrap(), epoch };
    let served = tokio::spawn(serve(listener, identity, name, Arc::clone(&echo), stop.clone()));
    Host { address, echo, stop, served, _epoch: sender }
}

fn secret(text: &str) -> Identity {
    Identity::new(Some(text), None).unwrap()
}

async fn connect(identity: Identity, address: &str) -> Result<Link, ConnectError> {
    Connector::new(identity).connect(address, &"h1".parse().unwrap()).await
}

async fn call(link: &Link, path: &str) -> String {
    let request = Request::get(format!("http://h1{path}")).body(Full::<Bytes>::default()).unwrap();
    let answer = link.sender.send(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn stranger(result: Result<Link, ConnectError>) -> String {
    match result {
        Err(ConnectError::Stranger(why)) => why,
        Err(other) => panic!("another error: {other}"),
        Ok(link) => panic!("let in: {:?}", link.welcome),
    }
}

#[tokio::test]
async fn members_of_one_cluster_speak_to_each_other() {
    let host = host(secret(SECRET)).await;
    let link = connect(secret(&format!(" {SECRET}\n")), &host.address.to_string()).await.unwrap();
    assert_eq!((link.welcome.host.as_str(), link.welcome.epoch), ("h1", BootEpoch(7)));
    assert_eq!(call(&link, "/a").await, "/a");
    assert_eq!(host.echo.0.load(Relaxed), 1, "the greeting is not for the handler");
}

#[tokio::test]
async fn each_end_refuses_one_with_another_secret() {
    let host = host(secret(SECRET)).await;
    let why = stranger(connect(secret("another-secret-16"), &host.address.to_string()).await);
    assert_eq!(why, "h1 has another cluster secret");
}

#[tokio::test]
async fn a_cluster_changes_its_secret_while_it_runs() {
    let (old, new) = (SECRET, "fedcba9876543210");
    let steps = [old.to_owned(), format!("{old}\n{new}\n"), format!("{new}\n{old}\n"), new.to_owned()];
    for pair in steps.windows(2) {
        for (at_host, at_member) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let host = host(secret(at_host)).await;
            let link = connect(secret(at_member), &host.address.to_string()).await;
            assert!(link.is_ok(), "{at_host:?} and {at_member:?}");
        }
    }
    let host = host(secret(&steps[0])).await;
    assert!(connect(secret(&steps[3]), &host.address.to_string()).await.is_err(), "too large a step");
}

type Barging = hyper::client::conn::http2::SendRequest<UnsyncBoxBody<Bytes, Infallible>>;

/// A connection that nobody has proven.
async fn barge(address: SocketAddr) -> Barging {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// One that leaves out its own check of the host: what the host does is seen.
async fn barge_in(address: SocketAddr, path: &str, body: &str) -> StatusCode {
    let mut sender = barge(address).await;
    let send = |path: &str, body: &str| {
        let request = Request::post(format!("http://h1{path}"));
        request.body(Full::new(Bytes::from(body.to_owned())).boxed_unsync()).unwrap()
    };
    if path == "/proof" {
        let hello = sender.send_request(send("/hello", "{\"nonce\":\"00\"}")).await.unwrap();
        assert_eq!(hello.status(), StatusCode::OK);
    }
    sender.send_request(send(path, body)).await.unwrap().status()
}

#[tokio::test]
async fn nothing_is_handled_for_a_caller_that_has_not_proven_itself() {
    let host = host(secret(SECRET)).await;
    assert_eq!(barge_in(host.address, "/anything", "").await, StatusCode::UNAUTHORIZED);
    assert_eq!(barge_in(host.address, "/proof", "{\"proof\":\"00\"}").await, StatusCode::UNAUTHORIZED);
    assert_eq!(barge_in(host.address, "/proof", "{\"proof\":null}").await, StatusCode::UNAUTHORIZED);
    assert_eq!(barge_in(host.address, "/hello", "nonsense").await, StatusCode::BAD_REQUEST);
    assert_eq!(host.echo.0.load(Relaxed), 0);
}

#[tokio::test]
async fn a_host_that_stops_answers_what_is_under_way_and_ends_its_connections() {
    let host = host(secret(SECRET)).await;
    let link = connect(secret(SECRET), &host.address.to_string()).await.unwrap();
    assert_eq!(call(&link, "/a").await, "/a");
    host.stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), host.served).await.expect("it ends").unwrap();
    tokio::time::timeout(Duration::from_secs(10), link.closed).await.expect("the connection, too").unwrap();
}

#[tokio::test]
async fn who_listens_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut connector = Connector::new(secret(SECRET));
    connector.timeout = Duration::from_millis(200);
    let result = connector.connect(&address, &"h1".parse().unwrap()).await;
    assert!(matches!(result, Err(ConnectError::Slow(_))));
}

#[test]
fn a_member_has_a_secret_or_certificates() {
    assert!(matches!(Identity::new(None, None), Err(IdentityError::Nothing)));
    assert!(matches!(Identity::new(Some("short"), None), Err(IdentityError::ShortSecret(5))));
    assert!(matches!(Identity::new(Some(" \n"), None), Err(IdentityError::ShortSecret(0))));
    let nowhere = || "/nonexistent".into();
    let files = TlsFiles { authority: nowhere(), certificate: nowhere(), key: nowhere() };
    assert!(matches!(Identity::new(None, Some(&files)), Err(IdentityError::File { .. })));
}

/// A certificate authority, and the files of a member that it has signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn member(&self, dir: &Path, name: &str) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let file = |ending: &str, text: &str| {
            let path = dir.join(format!("{name}.{ending}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            authority: file("ca", &self.0.pem()),
            certificate: file("crt", &certificate.pem()),
            key: file("key", &key.serialize_pem()),
        }
    }
}

#[tokio::test]
async fn certificates_of_one_authority_are_enough() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.member(dir.path(), "127.0.0.1");
    let identity = Identity::new(None, Some(&files)).unwrap();
    let host = host(identity.clone()).await;
    let link = connect(identity, &host.address.to_string()).await.unwrap();
    assert_eq!(call(&link, "/tls").await, "/tls");
}

#[tokio::test]
async fn certificates_of_others_are_refused_by_each_end() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = Authority::new().member(ours.path(), "127.0.0.1");
    let other = Authority::new().member(theirs.path(), "127.0.0.1");
    let host = host(Identity::new(None, Some(&files)).unwrap()).await;
    let address = host.address.to_string();
    let why = stranger(connect(Identity::new(None, Some(&other)).unwrap(), &address).await);
    assert!(why.contains("invalid peer certificate"), "{why}");
    // One that trusts the host, and has a certificate of its own making.
    let mixed = TlsFiles { authority: files.authority.clone(), ..other };
    assert!(connect(Identity::new(None, Some(&mixed)).unwrap(), &address).await.is_err());
    assert!(connect(secret(SECRET), &address).await.is_err(), "without TLS");
    assert_eq!(host.echo.0.load(Relaxed), 0);
}

#[tokio::test]
async fn a_certificate_for_another_address_is_not_the_hosts() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let identity = Identity::new(None, Some(&authority.member(dir.path(), "elsewhere.example"))).unwrap();
    let host = host(identity.clone()).await;
    let why = stranger(connect(identity, &host.address.to_string()).await);
    assert!(why.contains("not valid for name"), "{why}");
}

/// A host that knows the secret and has a name, which notes what it is asked.
async fn other_host(name: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            notes.lock().unwrap().push(request.uri().path().to_owned());
            async move {
                let hello: Hello = serde_json::from_slice(&request.collect().await?.to_bytes()).unwrap();
                let (host, version) = (name.parse().unwrap(), String::new());
                let (protocol, nonce) = (PROTOCOL, nonce());
                let mut welcome = Welcome { protocol, host, epoch: BootEpoch(7), version, nonce, proof: None };
                welcome.proof = prove(&secret(SECRET), End::Host, &hello.nonce, &welcome);
                let json = serde_json::to_vec(&welcome).unwrap();
                Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::from(json)))
            }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(tcp), service).await.ok();
    });
    (address, asked)
}

#[tokio::test]
async fn a_host_with_another_name_gets_no_proof() {
    let (address, asked) = other_host("h2").await;
    assert_eq!(stranger(connect(secret(SECRET), &address).await), "host `h2` is there");
    assert_eq!(*asked.lock().unwrap(), ["/hello"]);
}

#[tokio::test]
async fn a_stranger_is_greeted_once_at_a_time() {
    let host = host(secret(SECRET)).await;
    let mut sender = barge(host.address).await;
    let (mut words, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(1);
    let hello = Request::post("http://h1/hello").body(body.boxed_unsync()).unwrap();
    let mut hello = pin!(sender.send_request(hello));
    let mut others = sender.clone();
    let mut again = || {
        let json = Full::from("{\"nonce\":\"00\"}").boxed_unsync();
        others.send_request(Request::post("http://h1/hello").body(json).unwrap())
    };
    let status = tokio::select! {
        _ = &mut hello => panic!("it was not said to its end"),
        status = again() => status.unwrap().status(),
    };
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    words.send_data("{\"nonce\":\"00\"}".into()).await.unwrap();
    drop(words);
    assert_eq!(hello.await.unwrap().status(), StatusCode::OK);
    assert_eq!(again().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn there_is_room_for_so_many_strangers_and_for_all_members() {
    let host = host(secret(SECRET)).await;
    let address = host.address.to_string();
    let mut members = Vec::new();
    for _ in 0..MAX_STRANGERS + 10 {
        members.push(connect(secret(SECRET), &address).await.unwrap());
    }
    let mut strangers = Vec::new();
    for _ in 0..MAX_STRANGERS {
        strangers.push(TcpStream::connect(host.address).await.unwrap());
    }
    let mut connector = Connector::new(secret(SECRET));
    connector.timeout = Duration::from_millis(300);
    let name = "h1".parse().unwrap();
    assert!(matches!(connector.connect(&address, &name).await, Err(ConnectError::Slow(_))), "there is no room");
    assert_eq!(call(&members[0], "/a").await, "/a");
    strangers.clear();
    connector.timeout = Duration::from_secs(10);
    connector.connect(&address, &name).await.unwrap();
}

#[tokio::test]
async fn a_host_that_stops_does_not_wait_for_strangers() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let tls = Identity::new(None, Some(&authority.member(dir.path(), "127.0.0.1"))).unwrap();
    for identity in [secret(SECRET), tls] {
        let is_plain = identity.tls().is_none();
        let host = host(identity.clone()).await;
        let mut silent = TcpStream::connect(host.address).await.unwrap();
        // The first one is accepted when the second one is.
        let member = connect(identity, &host.address.to_string()).await.unwrap();
        // With a request that never ends.
        let (_words, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(1);
        if is_plain {
            let mut sender = barge(host.address).await;
            tokio::spawn(sender.send_request(Request::post("http://h1/hello").body(body.boxed_unsync()).unwrap()));
        }
        host.stop.cancel();
        tokio::time::timeout(Duration::from_secs(2), host.served).await.expect("it ends at once").unwrap();
        member.closed.await.unwrap();
        let rest = silent.read_to_end(&mut Vec::new()).await;
        assert!(rest.is_ok() || rest.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
}
