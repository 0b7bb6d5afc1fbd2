//! What an idle connection costs, beside bare hyper: each has asked once and is kept alive. Prints resident memory per
//! connection, and how fast others are served meanwhile. `idle_connections [NUMBER]`, 10,000 by default; the limit of open
//! files must allow that many (`ulimit -n`).

use std::time::Duration;

use anyhow::Context as _;
use samovar_benches::component::guest;
use samovar_benches::load::{Call, Client, Load, Protocol, run_aside};
use samovar_benches::node::{Function, Node};
use samovar_benches::peers::hyper;
use samovar_benches::server::Server;

/// What others ask meanwhile.
const LOAD: Load = Load { protocol: Protocol::Http1, connections: 32, span: Duration::from_secs(4) };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let number: usize = std::env::args().nth(1).map_or(Ok(10_000), |arg| arg.parse())?;
    let hyper = hyper(Protocol::Http1)?;
    let node = Node::with(&[Function::new("hello", guest("hello")?)])?;
    println!(
        "| server | idle connections | bytes each | requests/s without | with | p99 without | with |\n|{}",
        " --- |".repeat(7)
    );
    let bare = measure("bare hyper", &hyper, "hello from /hello\n", number).await?;
    let ours = measure("samovar", &node.server, "hello\n", number).await?;
    println!("\nsamovar's over hyper's: {:.2}", ours / bare);
    Ok(())
}

/// Opens connections, and answers what each costs in bytes.
async fn measure(name: &str, server: &Server, body: &'static str, number: usize) -> anyhow::Result<f64> {
    let call = Call::get("/hello", body);
    run_aside(&server.address, &call, LOAD).await?;
    let before = run_aside(&server.address, &call, LOAD).await?;
    let empty = server.memory()?.resident_bytes;
    let mut idle = Vec::with_capacity(number);
    for _ in 0..number {
        let mut client = Client::connect(&server.address).await?;
        let answer = client.get("/hello").await?;
        anyhow::ensure!(answer.status == 200, "answered with status {}", answer.status);
        idle.push(client);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = server.memory()?.resident_bytes.saturating_sub(empty) as f64 / number as f64;
    let with = run_aside(&server.address, &call, LOAD).await?;
    println!(
        "| {name} | {number} | {each:.0} | {:.0} | {:.0} | {:.2?} | {:.2?} |",
        before.rate(),
        with.rate(),
        before.percentile(0.99),
        with.percentile(0.99)
    );
    for client in &mut idle {
        client.get("/hello").await.context("an idle connection was closed meanwhile")?;
    }
    Ok(each)
}
