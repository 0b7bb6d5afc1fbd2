//! Stopping: requests in flight finish, nothing new is taken, and a second signal does not wait.

use std::time::Duration;

use rustix::process::Signal;
use samovar_tests::{Node, eventually};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn sigterm_lets_a_request_in_flight_finish() {
    let mut node = Node::start().await;
    node.deploy("sleep").await;
    let running = tokio::spawn(node.call("/sleep?ms=2500").send());
    eventually("it runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    let gateway = node.gateway();
    node.process().signal(Signal::TERM);
    let refused = async || TcpStream::connect(gateway).await.is_err();
    eventually("new connections are refused", refused, |refused| *refused).await;
    assert!(!running.is_finished(), "the platform stopped listening while the request was in flight");
    assert_eq!(running.await.unwrap().ok(), "slept 2500\n");
    let stopped = node.ended().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
}

#[tokio::test]
async fn a_streamed_answer_is_finished_too() {
    let mut node = Node::start().await;
    node.deploy("stream").await;
    let mut answer = node.call("/stream?count=5&ms=400").open().await;
    answer.chunk().await.unwrap();
    node.process().signal(Signal::INT);
    let rest = answer.finish().await.unwrap();
    assert!(rest.text().ends_with("chunk 4\n"), "{}", rest.text());
    assert_eq!(node.ended().await.code, Some(0));
}

#[tokio::test]
async fn without_requests_it_stops_at_once_idle_connections_or_not() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let mut idle = node.raw_get("/hello").await;
    idle.answer().await;
    node.call("/hello").http2().send().await.ok();
    let begun = Instant::now();
    let stopped = node.stop().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(idle.rest().await, "");
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let mut node = Node::start().await;
    node.function("sleep").with("limits.timeout = '10m'").deploy().await;
    let running = tokio::spawn(node.call("/sleep?ms=600000").try_send());
    eventually("it runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    let gateway = node.gateway();
    node.process().signal(Signal::TERM);
    let refused = async || TcpStream::connect(gateway).await.is_err();
    eventually("it drains", refused, |refused| *refused).await;
    assert!(node.process().is_running());
    let begun = Instant::now();
    node.process().signal(Signal::TERM);
    let stopped = node.ended().await;
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn draining_ends_at_its_time_out() {
    let mut node = Node::builder().arg("--drain-timeout", "700ms").start().await;
    node.function("sleep").with("limits.timeout = '10m'").deploy().await;
    let running = tokio::spawn(node.call("/sleep?ms=600000").try_send());
    eventually("it runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    node.process().signal(Signal::TERM);
    let stopped = node.ended().await;
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("700ms"), "{}", stopped.stderr);
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn while_it_drains_it_is_alive_and_not_ready() {
    let mut node = Node::start().await;
    node.deploy("sleep").await;
    let running = tokio::spawn(node.call("/sleep?ms=3000").send());
    eventually("it runs", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    node.process().signal(Signal::TERM);
    let ready = async || node.control_call_without_token("/readyz").send().await.status.as_u16();
    eventually("it is not ready", ready, |status| *status == 503).await;
    assert_eq!(node.control_call_without_token("/healthz").send().await.status, 200);
    running.await.unwrap().ok();
}
