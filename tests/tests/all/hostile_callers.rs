//! Callers that mean harm: requests that two servers would read differently, and more of everything than anybody needs.
//! Each time the platform goes on serving others.

use std::time::{Duration, Instant};

use samovar_tests::{Node, eventually, within};

/// Others are served.
async fn is_well(node: &Node) {
    assert_eq!(node.call("/hello").send().await.ok(), "hello\n");
    assert_eq!(node.call("/hello").http2().send().await.ok(), "hello\n");
}

async fn node() -> Node {
    let node = Node::start().await;
    for guest in ["hello", "length"] {
        node.deploy(guest).await;
    }
    is_well(&node).await;
    node
}

/// How long an answer, and the connection's end, is waited for.
const A_WHILE: Duration = Duration::from_secs(2);

/// When something has happened by that was to happen within a second, on a busy machine too; long before the 30 s that a
/// function has when it is told nothing else.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn no_request_is_smuggled_in_another_ones_body() {
    let node = node().await;
    let smuggled = "GET /hello?smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let requests = [
        // Which of the two lengths holds is a matter of opinion: RFC 9112, 6.1, has it refused or chunked, and closed.
        format!(
            "POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
            smuggled.len() + 5
        ),
        format!(
            "POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ncontent-length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ),
        format!("POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0, {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: +0\r\n\r\n{smuggled}"),
        format!("POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length : 0\r\n\r\n{smuggled}"),
        format!(
            "POST /length HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: identity, chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("POST /length HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!(
            "POST /length HTTP/1.1\r\nhost: localhost\r\nx: y\r\n z\r\ntransfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
    ];
    for request in requests {
        let mut raw = node.raw().await;
        raw.send(&request).await;
        let (answer, closed) = raw.rest_within(A_WHILE).await;
        assert!(!answer.contains("hello\n"), "the second request was answered: {request:?}: {answer}");
        assert!(closed, "what comes after it would be read as a request: {request:?}: {answer}");
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5");
        assert!(refused || answer.contains("connection: close"), "{request:?}: {answer}");
    }
    is_well(&node).await;
}

#[tokio::test]
async fn chunks_of_impossible_size_are_refused() {
    let node = node().await;
    let head = "POST /length HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let many = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(1 << 20));
    let before = node.resident_kib();
    for body in
        ["fffffffffffffffff\r\n", "ffffffffffffffff\r\nabc", "-1\r\nx\r\n", "0x1\r\nx\r\n0\r\n\r\n", "g\r\n\r\n", &many]
    {
        let mut raw = node.raw().await;
        raw.send(head).await;
        raw.try_send(body).await;
        let (answer, _) = raw.rest_within(A_WHILE).await;
        assert!(!answer.contains(" 200 "), "{body:.40}: {answer}");
    }
    let after = node.resident_kib();
    assert!(after < before + (32 << 10), "{before} KiB before, {after} KiB after");
    is_well(&node).await;
}

#[tokio::test]
async fn ten_thousand_headers_are_a_431() {
    let node = node().await;
    let headers: String = (0..10_000).map(|i| format!("x-{i}: y\r\n")).collect();
    let mut raw = node.raw().await;
    raw.try_send(format!("GET /hello HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await;
    let (answer, closed) = raw.rest_within(A_WHILE).await;
    assert!(closed && (answer.is_empty() || answer.starts_with("HTTP/1.1 431")), "closed: {closed}: {answer}");
    is_well(&node).await;
}

#[tokio::test]
async fn a_body_that_trickles_in_holds_its_instance_no_longer_than_the_function_s_time() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.function("length").with("limits.timeout = '600ms'\nscale.max_instances = 2").deploy().await;
    let (begun, mut slow) = (Instant::now(), Vec::new());
    for _ in 0..2 {
        let mut raw = node.raw().await;
        raw.send("POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n").await;
        slow.push(tokio::spawn(async move {
            while raw.try_send("x").await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }));
    }
    let faults = async || node.stats("length").await.faults.get("deadline").copied();
    eventually("both are cut off", faults, |faults| *faults == Some(2)).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(node.call("/length").body("abc").send().await.ok(), "3 bytes\n");
    for raw in slow {
        within("the end of the connection", raw).await.unwrap();
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of `GET /hello` in HPACK, without Huffman coding and without the dynamic table.
fn get_hello() -> Vec<u8> {
    let mut head = vec![0x82, 0x86];
    head.extend([0x04, 6]);
    head.extend(b"/hello");
    head.extend([0x01, 9]);
    head.extend(b"localhost");
    head
}

#[tokio::test]
async fn frames_that_are_none_end_their_connection_and_no_other() {
    let node = node().await;
    let settings = frame(4, 0, 0, &[]);
    let bad = [
        ("data on no stream", frame(0, 0, 0, b"x")),
        ("data on a stream that was not opened", frame(0, 0, 5, b"x")),
        ("headers on an even stream", frame(1, 5, 2, &get_hello())),
        ("a header block that is none", frame(1, 5, 1, &[0xff; 64])),
        ("a ping of the wrong length", frame(6, 0, 0, b"x")),
        ("settings of the wrong length", frame(4, 0, 0, b"x")),
        ("a window of no size", frame(8, 0, 0, &[0; 4])),
        ("continuation of nothing", frame(9, 4, 1, &get_hello())),
        ("a frame larger than allowed", frame(0, 0, 1, &vec![0; 1 << 20])),
        ("pushed by a client", frame(5, 4, 1, &[0, 0, 0, 2])),
    ];
    for (what, bytes) in bad {
        let mut raw = node.raw().await;
        raw.send([PREFACE, &settings].concat()).await;
        raw.try_send(&bytes).await;
        let answer = tokio::time::timeout(Duration::from_secs(20), raw.rest()).await;
        assert!(answer.is_ok(), "{what}: the connection was not closed");
    }
    is_well(&node).await;
}

#[tokio::test]
async fn headers_that_go_on_for_ever_over_http2_take_no_memory() {
    let node = node().await;
    let before = node.resident_kib();
    let mut raw = node.raw().await;
    raw.send([PREFACE, &frame(4, 0, 0, &[]), &frame(1, 1, 1, &get_hello())].concat()).await;
    // A literal header that is never indexed, of 16,000 bytes.
    let mut header = vec![0x10, 1, b'x', 0x7f];
    header.extend([0x81, 0x7c]);
    header.resize(header.len() + 16_000, b'y');
    let more = frame(9, 0, 1, &header);
    let mut sent = 0;
    while sent < 64 << 20 && raw.try_send(&more).await {
        sent += more.len();
    }
    assert!(sent < 16 << 20, "{sent} bytes of headers were taken");
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "{grown} KiB more than before");
    is_well(&node).await;
}

#[tokio::test]
async fn requests_that_are_reset_as_soon_as_they_are_made_do_not_keep_others_from_being_served() {
    let node = node().await;
    let mut raw = node.raw().await;
    raw.send([PREFACE, &frame(4, 0, 0, &[])].concat()).await;
    let attack = tokio::spawn(async move {
        let mut sent = 0;
        for stream in (1..40_000_u32).step_by(2) {
            let both = [frame(1, 5, stream, &get_hello()), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
            if !raw.try_send(&both).await {
                break;
            }
            sent += 1;
        }
        sent
    });
    let mut served = 0;
    while !attack.is_finished() || served < 20 {
        is_well(&node).await;
        served += 1;
    }
    let sent = attack.await.unwrap();
    assert!(sent > 0, "nothing was sent");
    let stats = async || node.stats("hello").await;
    eventually("all are over", stats, |stats| stats.busy == 0 && stats.queued == 0).await;
    is_well(&node).await;
}

/// A caller that asks for an answer and never reads it holds an instance no longer than the function's time allows.
#[tokio::test]
async fn a_caller_that_never_reads_its_answer_holds_no_instance_for_ever() {
    let node = Node::start().await;
    node.function("endless-body").with("limits.timeout = '1s'\nscale.max_instances = 2").deploy().await;
    node.call("/endless-body?calm").send().await.ok();
    let (begun, before) = (Instant::now(), node.resident_kib());
    let raw = node.raw_get("/endless-body").await;
    let http2 = node.call("/endless-body").http2().open().await;
    let busy = async || node.stats("endless-body").await.busy;
    eventually("both are under way", busy, |busy| *busy == 2).await;
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "{grown} KiB more than before");
    let stats = async || node.stats("endless-body").await;
    let stats = eventually("both are over", stats, |stats| stats.busy == 0 && stats.idle == 0).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(stats.faults["deadline"], 2, "{stats:?}");
    assert_eq!(node.call("/endless-body?calm").send().await.ok(), "calm\n");
    raw.close();
    drop(http2);
}
