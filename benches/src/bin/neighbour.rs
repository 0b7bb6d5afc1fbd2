//! What a function that computes without end does to its neighbour: hello alone, and beside eight callers of a spinning
//! function. Prints a table.

use std::time::Duration;

use samovar_benches::client::Client;
use samovar_benches::load::Call;
use samovar_benches::node::{Node, callers};

const CONNECTIONS: usize = 32;
const CALLERS: usize = 8;
const ROUND: Duration = Duration::from_secs(5);

/// What runs beside: the path to call, and what is to be known of it.
const NEIGHBOURS: [(&str, &str, &str); 4] = [
    ("spin", "limits.cpu = '5s'", "0.2, cpu = 5s"),
    ("spin", "limits.cpu = '50ms'", "0.2, cpu = 50ms"),
    ("spin3", "limits.cpu = '5s'", "0.3, cpu = 5s"),
    ("spin3", "limits.cpu = '5s'\nscale.concurrency = 4", "0.3, cpu = 5s, concurrency = 4"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start()?;
    node.deploy("hello", "").await?;
    println!(
        "| beside hello ({CONNECTIONS} connections) | requests/s | of alone | p50 | p99 | longest |\n|{}",
        " --- |".repeat(6)
    );
    hello(&node, "warming up", None).await?;
    for (guest, settings, name) in NEIGHBOURS {
        let alone = hello(&node, "nothing", None).await?;
        node.deploy(guest, settings).await?;
        let spinning: Vec<_> = (0..CALLERS)
            .map(|_| {
                let mut client = Client::new(&node.server.address, &format!("/{guest}"));
                tokio::spawn(async move { while client.get().await.is_ok() {} })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        hello(&node, &format!("{CALLERS} callers of a spinning function: {name}"), Some(alone)).await?;
        for caller in spinning {
            caller.abort();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// One round of hello; answers its rate.
async fn hello(node: &Node, name: &str, alone: Option<f64>) -> anyhow::Result<f64> {
    let outcome = callers(&node.server.address, Call::get("/hello", "hello\n"), ROUND).await?;
    let rate = outcome.rate();
    let share = alone.map_or(String::new(), |alone| format!("{:.0} %", rate / alone * 100.0));
    let of = |share| outcome.percentile(share);
    println!("| {name} | {rate:.0} | {share} | {:.2?} | {:.2?} | {:.2?} |", of(0.5), of(0.99), of(1.0));
    Ok(rate)
}
