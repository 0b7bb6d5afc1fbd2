#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::wait::eventually;

/// Answers `/ms/status` with that status after so long.
struct Site {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&connections), Arc::clone(&requests));
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and with it every connection.
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::Relaxed);
                let requests = Arc::clone(&counts.1);
                let service = service_fn(move |request| {
                    requests.fetch_add(1, Ordering::Relaxed);
                    answer(request)
                });
                serving
                    .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, connections, requests, accepting }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let words: Vec<_> = request.uri().path().split('/').skip(1).map(|word| word.parse::<u16>().unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(words[0].into())).await;
    let response = Response::builder().status(words[1]).header("x-samovar-revision", "7");
    Ok(response.body(Full::new(Bytes::from("hello"))).unwrap())
}

#[tokio::test]
async fn the_rate_is_kept_over_connections_that_are_used_again() {
    let site = Site::start().await;
    let load = Load::on(&[site.address]).path("/0/200").rate(500).expecting("hello").start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = load.stop().await;
    assert!((400..=700).contains(&report.sent()), "{report}");
    assert_eq!((report.failed(), site.requests()), (0, report.sent()), "{report}");
    assert!(site.connections.load(Ordering::Relaxed) < report.sent() / 4);
    let Outcome::Answered(answered) = &report.records()[0].outcome else { panic!("{report}") };
    assert_eq!(answered.revision, Some(7));
}

#[tokio::test]
async fn slow_answers_do_not_slow_the_load() {
    let site = Site::start().await;
    let load = Load::on(&[site.address]).path("/300/200").rate(200).start();
    eventually("a second of it", async || load.now(), |now| *now > Duration::from_secs(1)).await;
    let report = load.stop().await;
    assert!(report.sent() >= 190, "{report}");
    assert!(report.whole().p50 >= Duration::from_millis(300), "{report}");
}

#[tokio::test]
async fn failures_are_counted_by_their_kind() {
    let site = Site::start().await;
    let paths = |number| ["/0/200", "/0/503", "/2000/200"][usize::try_from(number % 3).unwrap()].to_owned();
    let load = Load::on(&[site.address]).paths(paths).rate(60).patience(Duration::from_millis(500)).start();
    eventually("thirty requests", async || site.requests(), |requests| *requests >= 30).await;
    let report = load.stop().await;
    let failures = report.failures();
    assert!(failures[&Failure::Status(503, String::new())] >= 9 && failures[&Failure::Late] >= 9, "{report}");
    assert_eq!(failures.values().sum::<usize>(), report.failed());
    assert_eq!(failures.len(), 2, "{report}");
    let wrong = Load::on(&[site.address]).path("/0/200").expecting("other").start().stop().await;
    assert!(wrong.failures().keys().all(|failure| *failure == Failure::Wrong("hello".to_owned())), "{wrong}");
}

#[tokio::test]
async fn where_one_gateway_ends_its_open_requests_fail_and_the_others_take_the_rest() {
    let (ending, other) = (Site::start().await, Site::start().await);
    let load = Load::on(&[ending.address, other.address]).path("/50/200").rate(200).start();
    eventually("both are used", async || ending.requests().min(other.requests()), |least| *least >= 50).await;
    let event = load.now();
    ending.end().await;
    let before = other.requests();
    eventually("the other is used", async || other.requests(), |requests| *requests >= before + 100).await;
    let report = load.stop().await;
    let failed: Vec<_> = report.records().iter().filter(|record| !record.is_answered()).collect();
    // 100 a second, of 50 ms each.
    assert!((1..=30).contains(&failed.len()), "{report}");
    assert!(failed.iter().all(|record| record.outcome.is_broken() && record.gateway == 0), "{report}");
    assert!(report.longest_silence(0) > report.longest_silence(1));
    assert!(report.recovered_after(event, Duration::MAX) < Duration::from_secs(1), "{report}");
    let gone = Load::on(&[report_address()]).rate(50).start().stop().await;
    assert!(gone.failures().keys().all(|failure| *failure == Failure::NoConnection), "{gone}");
}

/// An address at which nobody listens.
fn report_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Outcome {
    fn is_broken(&self) -> bool {
        matches!(self, Self::Failed(Failure::Broken))
    }
}

fn record(number: u64, at: u64, latency: u64, outcome: Outcome) -> Record {
    let (at, latency) = (Duration::from_millis(at), Duration::from_millis(latency));
    Record { number, at, latency, turn: 0, gateway: 0, outcome }
}

#[test]
fn a_report_counts_in_windows() {
    let answered = || Outcome::Answered(Answered { revision: None, instance: None, host: None, body: Bytes::new() });
    let mut records: Vec<_> = (0..100).map(|i| record(i, i * 10, i + 1, answered())).collect();
    records[50].outcome = Outcome::Failed(Failure::Broken);
    let report = Report::new(records, Duration::from_millis(2000));
    let [half, whole] = [500, 1000].map(Duration::from_millis);
    let ms = Duration::from_millis;
    let window = report.window(Duration::ZERO..half);
    assert_eq!(window, Window { sent: 50, failed: 0, p50: ms(25), p99: ms(50), longest: ms(50) });
    assert_eq!(report.window(half..whole).failed, 1);
    assert_eq!(report.recovered_after(ms(400), ms(1000)), ms(100));
    assert_eq!(report.recovered_after(ms(400), ms(98)), ms(590));
    assert_eq!(report.recovered_after(ms(501), ms(1000)), Duration::ZERO);
    // From the last answer at 990 + 100 ms to the end.
    assert_eq!(report.longest_silence(0), ms(910));
    assert_eq!(report.longest_silence(1), ms(2000));
}
