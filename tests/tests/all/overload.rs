//! Far more than can be done is asked for: what can be done is done, and the rest hears at once that it is too much.

use std::time::Duration;

use samovar_tests::Node;
use tokio::time::{Instant, sleep_until};

/// What came of one request.
struct Sent {
    took: Duration,
    status: u16,
    retry_after: bool,
}

/// Sends requests at their times, whether or not earlier ones were answered.
async fn open_loop(node: &Node, path: &'static str, rate: u32, span: Duration) -> Vec<Sent> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for index in 0.. {
        let at = Duration::from_secs(1) * index / rate;
        if at >= span {
            break;
        }
        sleep_until(begun + at).await;
        let call = node.call(path);
        tasks.push(tokio::spawn(async move {
            let answer = call.send().await;
            let took = begun.elapsed().saturating_sub(at);
            Sent { took, status: answer.status.as_u16(), retry_after: answer.headers.contains_key("retry-after") }
        }));
    }
    let mut sent = Vec::new();
    for task in tasks {
        sent.push(task.await.unwrap());
    }
    sent
}

fn percentile(sent: &[&Sent], percent: usize) -> Duration {
    let mut latencies: Vec<_> = sent.iter().map(|sent| sent.took).collect();
    latencies.sort_unstable();
    latencies[latencies.len() * percent / 100]
}

#[tokio::test]
async fn five_times_too_much_is_shed_at_once_and_the_rest_served_in_time() {
    let node = Node::start().await;
    // 100 in a second at best. The queue has room for ten times what could be served before its deadline.
    let settings = "scale.max_instances = 5\nscale.queue = 1000\nscale.queue_timeout = '1s'";
    node.function("sleep").with(settings).deploy().await;
    let span = Duration::from_secs(5);
    let sent = open_loop(&node, "/sleep?ms=50", 500, span).await;

    let of = |status: u16| sent.iter().filter(|sent| sent.status == status).collect::<Vec<_>>();
    let (served, shed) = (of(200), of(503));
    assert_eq!(served.len() + shed.len(), sent.len(), "nothing but answers and refusals");
    assert!(served.len() >= 300, "{} served of some 500 that could be", served.len());
    assert!(percentile(&served, 99) < Duration::from_secs(2), "p99 {:?}", percentile(&served, 99));
    assert!(shed.iter().all(|sent| sent.retry_after));
    // Turned away at the door: not after a second in the queue.
    assert!(percentile(&shed, 50) < Duration::from_millis(100), "p50 {:?}", percentile(&shed, 50));

    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = open_loop(&node, "/sleep?ms=50", 30, Duration::from_secs(1)).await;
    assert!(after.iter().all(|sent| sent.status == 200), "back to normal");
}
