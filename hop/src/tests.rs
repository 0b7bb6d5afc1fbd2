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

type Boxed = UnsyncBoxBody<Bytes, hyper::Error>;

impl Handler for Bodies {
    type Body = Boxed;

    async fn handle(&self, request: Request<Incoming>) -> Response<Boxed> {
        let (head, body) = request.into_parts();
        match head.uri.path() {
            "/echo" => Response::new(body.boxed_unsync()),
            "/large" => Response::new(Full::from(LARGE).map_err(|never| match never {}).boxed_unsync()),
            "/drip" => Response::new(drips(TOO_MANY, &Arc::default())),
            "/unread" => Response::new(Full::from("no thanks").map_err(|never| match never {}).boxed_unsync()),
            _ => {
                let _bell = Bell(self.dropped.clone());
                std::future::pending().await
            }
        }
    }
}

async fn bodies_host() -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dropped, drops) = tokio::sync::mpsc::unbounded_channel();
    let (sender, epoch) = watch::channel(BootEpoch(7));
    let name = HostName { id: "h1".parse().unwrap(), epoch };
    tokio::spawn(async move {
        let _epoch = sender;
        serve(listener, secret(SECRET), name, Arc::new(Bodies { dropped }), CancellationToken::new()).await;
    });
    (address, drops)
}

async fn bodies() -> (Link, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let (address, drops) = bodies_host().await;
    (connect(secret(SECRET), &address.to_string()).await.unwrap(), drops)
}

/// An answer that does not fit into what may be under way of one.
static LARGE: &[u8] = &[b'x'; 240 << 10];
/// More small frames than a connection of h2's own settings has unread.
const TOO_MANY: usize = 220_000;

/// So many pieces of one byte, each of which has to be waited for. Counts them.
fn drips(count: usize, taken: &Arc<AtomicUsize>) -> Boxed {
    let bytes = futures_util::stream::unfold((0, Arc::clone(taken)), move |(sent, taken)| async move {
        tokio::task::yield_now().await;
        taken.fetch_add(1, Relaxed);
        (sent < count).then(|| (Ok(hyper::body::Frame::data(Bytes::from_static(b"x"))), (sent + 1, taken)))
    });
    http_body_util::StreamBody::new(Box::pin(bytes)).boxed_unsync()
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

#[tokio::test]
async fn a_body_of_single_bytes_breaks_no_connection() {
    let (link, _drops) = bodies().await;
    let bytes = (0..TOO_MANY).map(|_| Ok::<_, hyper::Error>(hyper::body::Frame::data(Bytes::from_static(b"x"))));
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(bytes)).boxed_unsync();
    let echo = link.sender.send(Request::post("http://h1/echo").body(body).unwrap()).await.unwrap();
    assert_eq!(call(&link, "/unread").await, "no thanks", "beside it");
    assert_eq!(echo.into_body().collect().await.unwrap().to_bytes().len(), TOO_MANY);
    assert_eq!(call(&link, "/unread").await, "no thanks", "after it");
}

#[tokio::test]
async fn empty_pieces_break_no_connection() {
    let (link, _drops) = bodies().await;
    let bytes = (0..1_000).map(|at| {
        let data = if at % 2 == 0 { Bytes::new() } else { Bytes::from_static(b"x") };
        Ok::<_, hyper::Error>(hyper::body::Frame::data(data))
    });
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(bytes)).boxed_unsync();
    let echo = link.sender.send(Request::post("http://h1/echo").body(body).unwrap()).await.unwrap();
    assert_eq!(echo.into_body().collect().await.unwrap().to_bytes().len(), 500);
    assert_eq!(call(&link, "/unread").await, "no thanks");
}

#[tokio::test]
async fn single_bytes_that_come_slowly_and_are_not_read_break_no_connection() {
    let (link, _drops) = bodies().await;
    let taken = Arc::default();
    // To a host that reads none of them.
    let up = || {
        let request = Request::post("http://h1/never").body(drips(TOO_MANY, &taken)).unwrap();
        let sender = link.sender.clone();
        tokio::spawn(async move { sender.send(request).await.map(|_| ()) })
    };
    let uploads = [up(), up()];
    let sent = async {
        while taken.load(Relaxed) < TOO_MANY {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sent).await.expect("the connection lives");
    assert_eq!(call(&link, "/unread").await, "no thanks");
    // From it, to a caller that reads none of them.
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(link.sender.send(Request::get("http://h1/drip").body(pieces(0, &taken)).unwrap()).await.unwrap());
    }
    let whole = answers.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole.len(), TOO_MANY);
    assert_eq!(call(&link, "/unread").await, "no thanks");
    assert!(uploads.iter().all(|upload| !upload.is_finished()), "they are under way");
}

#[tokio::test]
async fn answers_that_nobody_reads_do_not_stop_the_others() {
    let (link, _drops) = bodies().await;
    let get = || Request::get("http://h1/large").body(Full::<Bytes>::default()).unwrap();
    let mut unread = Vec::new();
    for _ in 0..600 {
        unread.push(link.sender.send(get()).await.unwrap());
    }
    let read = async {
        let answer = link.sender.send(get()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), LARGE);
        assert_eq!(unread.pop().unwrap().into_body().collect().await.unwrap().to_bytes(), LARGE);
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("there is room");
}

/// How many requests, and how many ends of requests, are in HTTP/2 frames.
fn heads_and_resets(mut frames: &[u8]) -> (usize, usize) {
    let (mut heads, mut resets) = (0, 0);
    while let [a, b, c, kind, ..] = *frames {
        let length = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        heads += usize::from(kind == 1);
        resets += usize::from(kind == 3);
        frames = frames.get(length..).unwrap_or_default();
    }
    (heads, resets)
}

/// A way to a host that keeps what the caller says for as long as it is closed, and tells what that is.
async fn dam(host: SocketAddr) -> (String, watch::Sender<bool>, watch::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (closed, mut is_closed) = watch::channel(false);
    let (kept, told) = watch::channel(Vec::new());
    tokio::spawn(async move {
        let (member, _) = listener.accept().await.unwrap();
        let (mut said, mut answer) = member.into_split();
        let (mut answered, mut ask) = TcpStream::connect(host).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut answered, &mut answer).await });
        let mut buffer = vec![0; 64 << 10];
        loop {
            tokio::select! {
                length = said.read(&mut buffer) => {
                    let said = &buffer[..length.unwrap()];
                    kept.send_modify(|kept| kept.extend_from_slice(said));
                }
                changed = is_closed.changed() => if changed.is_err() { return },
            }
            if !*is_closed.borrow() {
                ask.write_all(&kept.send_replace(Vec::new())).await.unwrap();
            }
        }
    });
    (address, closed, told)
}

#[tokio::test]
async fn many_requests_that_are_given_up_at_once_break_no_connection() {
    let (host, _drops) = bodies_host().await;
    let (address, dam, mut kept) = dam(host).await;
    let link = connect(secret(SECRET), &address).await.unwrap();
    assert_eq!(call(&link, "/unread").await, "no thanks");
    // The host sees the requests and their ends in one go, before it has begun with any of them.
    dam.send(true).unwrap();
    let send = |_| {
        let request = Request::get("http://h1/never").body(Full::<Bytes>::default()).unwrap();
        let sender = link.sender.clone();
        tokio::spawn(async move { sender.send(request).await.map(|_| ()) })
    };
    let requests: Vec<_> = (0..200).map(send).collect();
    kept.wait_for(|kept| heads_and_resets(kept).0 >= 200).await.unwrap();
    for request in requests {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    kept.wait_for(|kept| heads_and_resets(kept).1 >= 200).await.unwrap();
    dam.send(false).unwrap();
    assert_eq!(call(&link, "/unread").await, "no thanks");
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

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_given_up() {
    let (host, _drops) = bodies_host().await;
    let (address, dam, _kept) = dam(host).await;
    let mut connector = Connector::new(secret(SECRET));
    connector.ping_interval = Duration::from_millis(50);
    connector.ping_timeout = Duration::from_millis(100);
    let link = connector.connect(&address, &"h1".parse().unwrap()).await.unwrap();
    let request = Request::get("http://h1/never").body(Full::<Bytes>::default()).unwrap();
    let sending = link.sender.send(request);
    dam.send(true).unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(10), sending).await.expect("it is noticed");
    assert!(matches!(lost, Err(crate::SendError::Lost(_))));
    link.closed.await.unwrap();
    assert!(link.sender.is_closed());
}
