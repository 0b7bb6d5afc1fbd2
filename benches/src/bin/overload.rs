//! What happens when far more is asked for than can be done: an open loop of five times the best rate, then of half of it.
//! Prints a table. `overload [SECONDS [WHICH...]]`, 10 and all by default.

use std::time::Duration;

use samovar_benches::component::guest;
use samovar_benches::load::{Client, Plan, Sent, open};
use samovar_benches::node::{Function, Node};
use samovar_benches::percentile::percentile;

/// How many times what can be done is asked for.
const FACTOR: f64 = 5.0;
/// How finely it is looked when things are back to normal.
const WINDOW: Duration = Duration::from_millis(100);

/// A function whose cost is what limits.
struct Subject {
    name: &'static str,
    guest: &'static str,
    settings: &'static str,
    path: &'static str,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "10 instances that sleep 5 ms; queue 100, 10 s",
        guest: "sleep",
        settings: "scale.max_instances = 10",
        path: "/sleep?ms=5",
    },
    Subject {
        name: "10 instances that sleep 50 ms; queue 1000, 1 s",
        guest: "sleep",
        settings: "scale.max_instances = 10\nscale.queue = 1000\nscale.queue_timeout = '1s'",
        path: "/sleep?ms=50",
    },
    Subject {
        name: "computes about 5 ms; 100 instances, queue 100, 10 s",
        guest: "work",
        settings: "",
        path: "/work?turns=5000",
    },
    Subject {
        name: "computes about 0.5 ms; 100 instances, queue 100, 10 s",
        guest: "work",
        settings: "",
        path: "/work?turns=500",
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
    // The best rate: just enough callers that something always waits.
    let best = {
        closed(address, subject.path, Duration::from_secs(1)).await?;
        closed(address, subject.path, Duration::from_secs(4)).await?
    };
    let plan = Plan { address, path: subject.path, rate: best * FACTOR, span };
    let sent = open(&plan).await?;
    let after = Plan { rate: best / 2.0, span: Duration::from_secs(4), ..plan };
    let after = open(&after).await?;

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
        best * FACTOR,
        good / best * 100.0,
        at(200, 0.5),
        at(200, 0.99),
        at(503, 0.5),
        at(503, 0.99),
        sent.len() - shed - served,
        normal_after(&after),
    );
    Ok(())
}

/// Requests in a second that 64 callers get answered.
async fn closed(address: &str, path: &str, span: Duration) -> anyhow::Result<f64> {
    let until = tokio::time::Instant::now() + span;
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (address, path) = (address.to_owned(), path.to_owned());
            tokio::spawn(async move {
                let mut client = Client::connect(&address).await?;
                let mut served = 0_u32;
                while tokio::time::Instant::now() < until {
                    served += u32::from(client.get(&path).await?.status == 200);
                }
                anyhow::Ok(served)
            })
        })
        .collect();
    let mut served = 0.0;
    for caller in callers {
        served += f64::from(caller.await??);
    }
    Ok(served / span.as_secs_f64())
}

/// From when on nothing is turned away and nothing takes longer than 100 ms.
fn normal_after(after: &[Sent]) -> Duration {
    let last = after.iter().rev().find(|sent| sent.status != 200 || sent.took > Duration::from_millis(100));
    last.map_or(Duration::ZERO, |sent| WINDOW * (sent.at.as_millis() / WINDOW.as_millis()) as u32 + WINDOW)
}
