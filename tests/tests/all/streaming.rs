//! Bodies that are passed on as they come, both ways, without being held as a whole.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use samovar_tests::{Backend, Node};
use tokio::time::Instant;

#[tokio::test]
async fn the_first_chunk_arrives_while_the_guest_still_makes_the_others() {
    let node = Node::start().await;
    node.deploy("stream").await;
    // Once for the compiled code to be there.
    node.call("/stream?count=1").send().await.ok();
    let begun = Instant::now();
    let mut answer = node.call("/stream?count=3&ms=1500").open().await;
    assert_eq!(answer.chunk().await.unwrap(), "chunk 0\n");
    let first = begun.elapsed();
    assert_eq!(answer.chunk().await.unwrap(), "chunk 1\n");
    assert_eq!(answer.chunk().await.unwrap(), "chunk 2\n");
    assert_eq!(answer.chunk().await, None);
    let last = begun.elapsed();
    assert!(last >= Duration::from_secs(3), "{last:?}");
    assert!(first + Duration::from_secs(2) < last, "first {first:?}, last {last:?}");
}

#[tokio::test]
async fn an_echo_answers_before_the_request_has_ended() {
    let node = Node::start().await;
    node.deploy("echo").await;
    let (chunks, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let call = node.call("/echo").stream(body);
    chunks.send(Bytes::from_static(b"ping")).await.unwrap();
    let mut answer = call.open().await;
    assert_eq!(answer.chunk().await.unwrap(), "ping");
    chunks.send(Bytes::from_static(b"pong")).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap(), "pong");
    drop(chunks);
    assert_eq!(answer.chunk().await, None);
}

#[tokio::test]
async fn sixty_four_mebibytes_pass_through_with_little_memory() {
    const CHUNK: usize = 64 << 10;
    const CHUNKS: usize = 1024;
    let node = Node::start().await;
    node.function("echo")
        .with("limits.request_body = '128MiB'\nlimits.cpu = '60s'\nlimits.timeout = '5m'")
        .deploy()
        .await;
    node.call("/echo").body("warm up").send().await.ok();
    let before = node.resident_kib();
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let mut answer = node.call("/echo").stream(stream::iter(vec![chunk; CHUNKS])).open().await;
    let (mut received, mut most, mut seen) = (0, before, 0);
    while let Some(chunk) = answer.chunk().await {
        assert!(chunk.iter().all(|&byte| byte == b'x'));
        received += chunk.len();
        if received - seen >= 1 << 20 {
            seen = received;
            most = most.max(node.resident_kib());
        }
    }
    assert_eq!(received, CHUNK * CHUNKS);
    assert!(most < before + 24 * 1024, "{before} KiB before, {most} KiB at most");
}

#[tokio::test]
async fn a_caller_that_reads_slowly_slows_the_guest_down_instead_of_filling_memory() {
    let node = Node::start().await;
    node.function("echo").with("limits.request_body = '128MiB'\nlimits.cpu = '60s'").deploy().await;
    node.call("/echo").body("warm up").send().await.ok();
    let before = node.resident_kib();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    let body = stream::unfold(0, {
        let sent = sent.clone();
        move |count| {
            sent.store(count, std::sync::atomic::Ordering::Relaxed);
            let chunk = chunk.clone();
            async move { (count < 1024).then_some((chunk, count + 1)) }
        }
    });
    let mut answer = node.call("/echo").stream(body).open().await;
    answer.chunk().await.unwrap();
    // Nothing is read for a while: what is under way must come to rest somewhere short of the end.
    let mut last = usize::MAX;
    let at_rest = async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        std::mem::replace(&mut last, now) == now
    };
    samovar_tests::eventually("the upload pauses", at_rest, |rests| *rests).await;
    let paused_at = sent.load(std::sync::atomic::Ordering::Relaxed);
    assert!(paused_at < 1000, "all but everything was sent: {paused_at} chunks");
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB more than before");
    let rest = answer.finish().await.unwrap();
    assert!(rest.body.len() > 60 << 20);
}

/// 3 MiB in pieces of no round size, and the same as one.
fn pieces() -> (Vec<Bytes>, Vec<u8>) {
    let whole: Vec<u8> = (0..3u32 << 20).map(|at| (at / 251) as u8).collect();
    (whole.chunks(99_991).map(Bytes::copy_from_slice).collect(), whole)
}

#[tokio::test]
async fn what_a_handler_passes_on_comes_whole_and_in_order() {
    let node = Node::start().await;
    node.deploy("passing").await;
    let (sent, whole) = pieces();
    for query in ["", "?more"] {
        let answer = node.call(&format!("/passing{query}")).stream(stream::iter(sent.clone())).send().await;
        assert!(answer.status == 200 && answer.body == whole, "{query}: {} bytes", answer.body.len());
    }
    let answer = node.call("/passing?begun").stream(stream::iter(sent)).send().await;
    assert!(answer.body.len() < whole.len() && whole.ends_with(&answer.body), "{} bytes", answer.body.len());
    let answer = node.call("/passing").body("short").send().await;
    assert_eq!((answer.ok(), answer.headers["content-length"].to_str().unwrap()), ("short", "5"));
    assert_eq!(node.call("/passing").send().await.ok(), "");
}

#[tokio::test]
async fn trailers_are_passed_on_with_the_body_and_followed_by_the_handlers_own() {
    let node = Node::start().await;
    node.deploy("passing").await;
    let trailers = || HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    let answer = node.call("/passing").http2().body_with_trailers("body", trailers()).send().await;
    assert_eq!((answer.ok(), answer.trailers["x-sum"].to_str().unwrap()), ("body", "7"));
    let answer = node.call("/passing?more").http2().body("body").send().await;
    assert_eq!((answer.ok(), answer.trailers["x-more"].to_str().unwrap()), ("body", "yes"));
}

#[tokio::test]
async fn a_handler_passes_on_before_the_request_has_ended() {
    let node = Node::start().await;
    node.deploy("passing").await;
    let (chunks, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let call = node.call("/passing").stream(body);
    chunks.send(Bytes::from_static(b"ping")).await.unwrap();
    let mut answer = call.open().await;
    assert_eq!(answer.chunk().await.unwrap(), "ping");
    chunks.send(Bytes::from_static(b"pong")).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap(), "pong");
    drop(chunks);
    assert_eq!(answer.chunk().await, None);
}

#[tokio::test]
async fn a_handler_that_waits_for_a_slow_reader_uses_no_time_on_a_core() {
    let node = Node::start().await;
    node.function("passing").with("limits.cpu = '1s'\nlimits.request_body = '128MiB'").deploy().await;
    node.call("/passing").body("warm up").send().await.ok();
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    let body = stream::unfold(0, move |count| {
        let chunk = chunk.clone();
        async move {
            // The handler waits for the second one, and not for any of the others.
            if count == 1 {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            (count < 1536).then_some((chunk, count + 1))
        }
    });
    let length = (96 << 20).to_string();
    let mut answer = node.call("/passing").header("content-length", &length).stream(body).open().await;
    let first = answer.chunk().await.unwrap();
    // More of the request than all buffers on the way have room for is there to be read, and nobody takes the answer.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rest = answer.finish().await.unwrap();
    assert_eq!(first.len() + rest.body.len(), 96 << 20);
}

#[tokio::test]
async fn what_breaks_off_on_its_way_through_a_handler_is_not_taken_for_whole() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    let settings = "allow_outbound = ['*']\nallow_private = true\noutbound.response_body = '10KiB'";
    node.function("passing").with(settings).deploy().await;
    let url = |path: &str| format!("/passing?url={}{path}", backend.origin());
    assert_eq!(node.call(&url("/bytes/10000")).body("x").send().await.body.len(), 10_000);
    let cut = node.call(&url("/bytes/11000")).body("x").try_send().await;
    assert!(cut.is_err(), "{} bytes were taken for all", cut.unwrap().body.len());
    let told = async || node.logs("passing").await;
    samovar_tests::eventually("it is told", told, |lines| {
        lines.iter().any(|line| line.text.contains("the body broke off"))
    })
    .await;
}
