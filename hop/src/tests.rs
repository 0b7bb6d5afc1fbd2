//! Connections between members and hosts, over loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use samovar_model::BootEpoch;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{ConnectError, Connector, Handler, HostName, Identity, IdentityError, Link, TlsFiles, serve};

const SECRET: &str = "0123456789abcdef";

/// Answers every request with its path, and counts them.
#[derive(Default)]
struct Echo(AtomicUsize);

impl Handler for Echo {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
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
    Connector::new(identity).connect(address).await
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

/// One that leaves out its own check of the host: what the host does is seen.
async fn barge_in(address: SocketAddr, path: &str, body: &str) -> StatusCode {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    let send = |path: &str, body: &str| {
        let request = Request::post(format!("http://h1{path}"));
        request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
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
    let result = connector.connect(&address).await;
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

/// What a host does with bodies, by path.
struct Bodies {
    /// Told when an answer is not wanted any more.
    dropped: tokio::sync::mpsc::UnboundedSender<()>,
}

/// Tells when it is dropped.
struct Bell(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

type Boxed = http_body_util::combinators::UnsyncBoxBody<Bytes, hyper::Error>;

impl Handler for Bodies {
    type Body = Boxed;

    async fn handle(&self, request: Request<Incoming>) -> Response<Boxed> {
        let (head, body) = request.into_parts();
        match head.uri.path() {
            "/echo" => Response::new(body.boxed_unsync()),
            "/unread" => Response::new(Full::from("no thanks").map_err(|never| match never {}).boxed_unsync()),
            _ => {
                let _bell = Bell(self.dropped.clone());
                std::future::pending().await
            }
        }
    }
}

async fn bodies() -> (Link, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (dropped, drops) = tokio::sync::mpsc::unbounded_channel();
    let (sender, epoch) = watch::channel(BootEpoch(7));
    let name = HostName { id: "h1".parse().unwrap(), epoch };
    tokio::spawn(async move {
        let _epoch = sender;
        serve(listener, secret(SECRET), name, Arc::new(Bodies { dropped }), CancellationToken::new()).await;
    });
    (connect(secret(SECRET), &address).await.unwrap(), drops)
}

/// So many pieces of 64 KiB, and trailers after them. Counts the pieces that were taken.
fn pieces(count: usize, taken: &Arc<AtomicUsize>) -> Boxed {
    let taken = Arc::clone(taken);
    let data = (0..count).map(move |_| {
        taken.fetch_add(1, Relaxed);
        Ok(hyper::body::Frame::data(Bytes::from(vec![b'x'; 64 << 10])))
    });
    let trailers = http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    let frames = data.chain([Ok(hyper::body::Frame::trailers(trailers))]);
    http_body_util::StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

#[tokio::test]
async fn bodies_go_both_ways_with_their_trailers_and_no_faster_than_they_are_read() {
    let (link, _drops) = bodies().await;
    let taken = Arc::default();
    let request = Request::post("http://h1/echo").body(pieces(512, &taken)).unwrap();
    let mut answer = link.sender.send(request).await.unwrap().into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting = taken.load(Relaxed);
    assert!(waiting < 100, "nobody reads, and {waiting} pieces of 512 were taken");
    let mut length = first.len();
    let mut trailers = None;
    while let Some(frame) = answer.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => length += data.len(),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert_eq!((length, taken.load(Relaxed)), (512 * (64 << 10), 512));
    assert_eq!(trailers.unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn an_answer_comes_though_the_body_is_not_read() {
    let (link, _drops) = bodies().await;
    for _ in 0..20 {
        let request = Request::post("http://h1/unread").body(pieces(64, &Arc::default())).unwrap();
        let answer = link.sender.send(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "no thanks");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_is_gone_for_the_host_as_well() {
    let (link, mut drops) = bodies().await;
    for body in [0, 512] {
        let request = Request::post("http://h1/never").body(pieces(body, &Arc::default())).unwrap();
        let left = tokio::time::timeout(Duration::from_millis(200), link.sender.send(request)).await;
        assert!(left.is_err(), "there is no answer");
        tokio::time::timeout(Duration::from_secs(10), drops.recv()).await.expect("the host notices").unwrap();
    }
}

#[tokio::test]
async fn requests_on_a_connection_that_breaks_are_lost_and_those_after_it_are_not_sent() {
    let host = host(secret(SECRET)).await;
    let link = connect(secret(SECRET), &host.address.to_string()).await.unwrap();
    host.stop.cancel();
    link.closed.await.unwrap();
    let request = Request::get("http://h1/").body(Full::<Bytes>::default()).unwrap();
    assert!(matches!(link.sender.send(request).await, Err(crate::SendError::Unsent(_))));
    assert!(link.sender.is_closed());
}
