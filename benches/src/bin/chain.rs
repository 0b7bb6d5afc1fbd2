//! What a chain of three functions costs beside one call: CPU time of the server per request, in turn. Prints a table.
//! `chain [ROUNDS]`, 5 by default.

use std::time::Duration;

use samovar_benches::component::built;
use samovar_benches::cores;
use samovar_benches::load::{Call, Load, Protocol, run_aside};
use samovar_benches::node::{Function, Node};

const GUEST: &str = "benches/guests/target/wasm32-wasip2/release/bench_chain.wasm";
const LOAD: Load = Load { protocol: Protocol::Http1, connections: 32, span: Duration::from_secs(3) };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(5), |arg| arg.parse())?;
    // Before the server starts: it has a core of its own, and a load generator that never sleeps and need not be woken.
    let _apart = cores::apart()?;
    let function = |name: &str, settings: &str| anyhow::Ok(Function::new(name, built(GUEST)?).with(settings));
    let node = Node::with(&[
        function("one", "")?,
        function("three", "allow_functions = ['two']\nenv.NEXT = 'two'")?,
        function("two", "allow_functions = ['one']\nenv.NEXT = 'one'")?,
    ])?;
    let paths = ["/one", "/two", "/three"];
    let mut all = [const { Vec::new() }; 3];
    println!("| round | one function | a chain of two | of three | three over one |\n|{}", " --- |".repeat(5));
    for round in 1..=rounds {
        let mut costs = [0.0; 3];
        for (index, path) in paths.iter().enumerate() {
            costs[index] = cost(&node, path).await?;
            all[index].push(costs[index]);
        }
        row(&round.to_string(), costs);
    }
    row(
        "median",
        all.map(|mut costs| {
            costs.sort_by(f64::total_cmp);
            costs[costs.len() / 2]
        }),
    );
    Ok(())
}

fn row(name: &str, [one, two, three]: [f64; 3]) {
    println!("| {name} | {one:.1} us | {two:.1} us | {three:.1} us | {:.2} |", three / one);
}

/// Microseconds on a core for each request.
async fn cost(node: &Node, path: &'static str) -> anyhow::Result<f64> {
    let before = node.server.cpu_time()?;
    let outcome = run_aside(&node.server.address, &Call::get(path, "hello from /hello\n"), LOAD).await?;
    Ok((node.server.cpu_time()? - before).as_secs_f64() * 1e6 / outcome.requests as f64)
}
