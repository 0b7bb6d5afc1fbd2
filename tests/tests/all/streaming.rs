//! Bodies that are passed on as they come, both ways, without being held as a whole.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use samovar_tests::Node;
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
