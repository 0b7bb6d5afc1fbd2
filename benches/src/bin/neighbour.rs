//! What a function that computes without end does to its neighbour: hello alone, and beside eight callers of a spinning
//! function. Prints a table.

use std::time::Duration;

use samovar_benches::component;
use samovar_benches::load::{Call, Client, Load, Protocol, run_aside};
use samovar_benches::node::{Function, Node};

const LOAD: Load = Load { protocol: Protocol::Http1, connections: 32, span: Duration::from_secs(5) };
const CALLERS: usize = 8;

/// What runs beside: the path to call, and what is to be known of it.
const NEIGHBOURS: [(&str, &str, &str); 4] = [
    ("spin", "limits.cpu = '5s'", "0.2, cpu = 5s"),
    ("spin", "limits.cpu = '50ms'", "0.2, cpu = 50ms"),
    ("spin3", "limits.cpu = '5s'", "0.3, cpu = 5s"),
    ("spin3", "limits.cpu = '5s'\nscale.concurrency = 4", "0.3, cpu = 5s, concurrency = 4"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::with(&[Function::new("hello", component::guest("hello")?)])?;
    println!(
        "| beside hello ({} connections) | requests/s | of alone | p50 | p99 | longest |\n|{}",
        LOAD.connections,
        " --- |".repeat(6)
    );
    hello(&node, "warming up", None).await?;
    for (guest, settings, name) in NEIGHBOURS {
        let alone = hello(&node, "nothing", None).await?;
        node.deploy(&[Function::new(guest, component::guest(guest)?).with(settings)])?;
        let spinning: Vec<_> = (0..CALLERS)
            .map(|_| {
                let address = node.server.address.clone();
                tokio::spawn(async move { spin(&address, guest).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        hello(&node, &format!("{CALLERS} callers of a spinning function: {name}"), Some(alone)).await?;
        for caller in spinning {
            anyhow::ensure!(!caller.is_finished(), "a neighbour stopped: {:?}", caller.await?);
            caller.abort();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Calls a function that computes without end, again and again; ends only with an error.
async fn spin(address: &str, guest: &str) -> anyhow::Result<()> {
    let (mut client, path) = (Client::connect(address).await?, format!("/{guest}"));
    loop {
        let status = client.get(&path).await?.status;
        anyhow::ensure!(status == 504, "status {status} instead of that of a used-up CPU budget");
    }
}

/// One round of hello; answers its rate.
async fn hello(node: &Node, name: &str, alone: Option<f64>) -> anyhow::Result<f64> {
    let outcome = run_aside(&node.server.address, &Call::get("/hello", "hello\n"), LOAD).await?;
    let rate = outcome.rate();
    let share = alone.map_or(String::new(), |alone| format!("{:.0} %", rate / alone * 100.0));
    let of = |share| outcome.percentile(share);
    println!("| {name} | {rate:.0} | {share} | {:.2?} | {:.2?} | {:.2?} |", of(0.5), of(0.99), of(1.0));
    Ok(rate)
}
