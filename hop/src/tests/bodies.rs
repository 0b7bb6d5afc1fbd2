//! Bodies, and what happens to a connection by them.

use super::*;

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

type Boxed = UnsyncBoxBody<Bytes, h2::Error>;

impl Handler for Bodies {
    type Body = Boxed;

    async fn handle(&self, request: Request<Received>) -> Response<Boxed> {
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
    let bytes = (0..TOO_MANY).map(|_| Ok::<_, h2::Error>(hyper::body::Frame::data(Bytes::from_static(b"x"))));
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
        Ok::<_, h2::Error>(hyper::body::Frame::data(data))
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
