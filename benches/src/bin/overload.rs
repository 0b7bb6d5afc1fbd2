//! What happens when far more is asked for than can be done: an open loop of five times the best rate, then of half of it.
//! Prints a table. `overload [SECONDS [WHICH...]]`, 10 and all by default.

use std::time::Duration;

use samovar_benches::component::guest;
use samovar_benches::load::{Call, Load, Protocol, Sent, open, run_aside, steady};
use samovar_benches::node::{Function, Node};
use samovar_benches::percentile::percentile;

/// How many times what can be done is asked for.
const FACTOR: f64 = 5.0;
/// For how long half of the best rate is asked for afterwards.
const AFTER: Duration = Duration::from_secs(4);
/// How finely it is looked when things are back to normal.
const WINDOW: Duration = Duration::from_millis(100);

/// A function whose cost is what limits.
struct Subject {
    name: &'static str,
    guest: &'static str,
    settings: &'static str,
    path: &'static str,
    answer: &'static str,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "10 instances that sleep 5 ms; queue 100, 10 s",
        guest: "sleep",
        settings: "scale.max_instances = 10",
        path: "/sleep?ms=5",
        answer: "slept 5\n",
    },
    Subject {
        name: "10 instances that sleep 50 ms; queue 1000, 1 s",
        guest: "sleep",
        settings: "scale.max_instances = 10\nscale.queue = 1000\nscale.queue_timeout = '1s'",
        path: "/sleep?ms=50",
        answer: "slept 50\n",
    },
    Subject {
        name: "computes about 5 ms; 100 instances, queue 100, 10 s",
        guest: "work",
        settings: "",
        path: "/work?turns=5000",
        answer: "5000000\n",
    },
    Subject {
        name: "computes about 0.5 ms; 100 instances, queue 100, 10 s",
        guest: "work",
        settings: "",
        path: "/work?turns=500",
        answer: "500000\n",
    },
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |arg| arg.parse())?;
    println!(
        "| function | best/s | offered/s | goodput/s | of best | 200: p50 | p99 | 503 | p50 | p99 | other | no Retry-After | normal after |"
    );
    println!("|{}", " --- |".repeat(13));
    let which: Vec<usize> = std::env::args().skip(2).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    for (_, subject) in SUBJECTS.iter().enumerate().filter(|(index, _)| which.is_empty() || which.contains(index)) {
        let function = Function::new(subject.guest, guest(subject.guest)?).with(subject.settings);
        let node = Node::with(&[function])?;
        measure(subject, &node.server.address, Duration::from_secs(seconds)).await?;
    }
    Ok(())
}

async fn measure(subject: &Subject, address: &str, span: Duration) -> anyhow::Result<()> {
    // The best rate: just enough callers that something always waits, and nobody is turned away.
    let closed = |seconds| {
        let span = Duration::from_secs(seconds);
        let load = Load { protocol: Protocol::Http1, connections: 64, span };
        async move { run_aside(address, &Call::get(subject.path, subject.answer), load).await }
    };
    closed(1).await?;
    let best = closed(4).await?.rate();
    // Without a pause: things are to become normal while the last of the overload still waits.
    let after = steady(best / 2.0, AFTER).map(|at| span + at);
    let sent = open(address, subject.path, steady(best * FACTOR, span).chain(after)).await?;
    let (sent, after): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(|sent| sent.at < span);
    let offered = sent.len() as f64 / sent.last().map_or(span, |last| last.left.max(span)).as_secs_f64();

    let of = |status: u16| sent.iter().filter(move |sent| sent.status == status);
    // Answers that came after the load had ended do not count.
    let good = of(200).filter(|sent| sent.at + sent.took <= span).count() as f64 / span.as_secs_f64();
    let (shed, served) = (of(503).count(), of(200).count());
    let at = |status, share| {
        let mut took: Vec<_> = of(status).map(|sent| sent.took).collect();
        took.sort_unstable();
        percentile(&took, share).map_or_else(|| "-".to_owned(), |took| format!("{took:.2?}"))
    };
    let silent = of(503).filter(|sent| !sent.retry_after).count();
    println!(
        "| {} | {best:.0} | {:.0} | {good:.0} | {:.0} % | {} | {} | {shed} | {} | {} | {} | {silent} | {:?} |",
        subject.name,
        offered,
        good / best * 100.0,
        at(200, 0.5),
        at(200, 0.99),
        at(503, 0.5),
        at(503, 0.99),
        sent.len() - shed - served,
        normal_after(&after, span),
    );
    Ok(())
}

/// How long after the overload nothing is turned away any more and nothing takes longer than 100 ms.
fn normal_after(after: &[Sent], overload: Duration) -> Duration {
    let last = after.iter().rev().find(|sent| sent.status != 200 || sent.took > Duration::from_millis(100));
    last.map_or(Duration::ZERO, |sent| WINDOW * ((sent.at - overload).as_millis() / WINDOW.as_millis()) as u32 + WINDOW)
}
