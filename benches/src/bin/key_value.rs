//! What functions do with the embedded key-value store in a second, each call one operation that is waited for: reads, durable
//! writes, and counters. Prints a table. `key_value [SECONDS]`, 5 by default.

use std::path::PathBuf;
use std::time::Duration;

use samovar_benches::component::built;
use samovar_benches::load::{Call, Load, Outcome, Protocol, run_aside};
use samovar_benches::node::{Function, Node};

const GUEST: &str = "benches/guests/target/wasm32-wasip2/release/bench_values.wasm";

/// What is measured: its name, the call, how many operations that is, and how many calls are open at once.
struct Case {
    name: &'static str,
    path: &'static str,
    operations: u64,
    callers: usize,
}

const CASES: [Case; 8] = [
    Case { name: "nothing, 1,000 times a call", path: "/values/nothing/1000", operations: 1000, callers: 32 },
    Case { name: "reads, 1,000 a call", path: "/values/read/1000", operations: 1000, callers: 32 },
    Case { name: "reads, 1 a call", path: "/values/read/1", operations: 1, callers: 32 },
    Case { name: "writes, 20 a call, 64 callers", path: "/values/write/20", operations: 20, callers: 64 },
    Case { name: "writes, 20 a call, 256 callers", path: "/values/write/20", operations: 20, callers: 256 },
    Case { name: "writes, 20 a call, 768 callers", path: "/values/write/20", operations: 20, callers: 768 },
    Case { name: "writes, 1 a call, 256 callers", path: "/values/write/1", operations: 1, callers: 256 },
    Case {
        name: "increments of 8 counters, 20 a call, 256 callers",
        path: "/values/count/20",
        operations: 20,
        callers: 256,
    },
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let span = Duration::from_secs(std::env::args().nth(1).map_or(Ok(5), |arg| arg.parse())?);
    let component: PathBuf = built(GUEST)?;
    let settings = "scale.max_instances = 1000\nscale.queue = 1000\nlimits.timeout = '60s'\nlimits.cpu = '30s'\n\
                    kv.bench = { durability = 'batched', max_bytes = '1GiB' }";
    let node = Node::with(&[Function::new("values", component).with(settings)])?;
    call(&node, "/values/fill/1", 1, Duration::from_millis(1)).await?;
    println!("| what | operations/s | a call: p50 | p99 | CPU per operation, of the server |\n|{}", " --- |".repeat(5));
    for case in CASES {
        let before = node.server.cpu_time()?;
        let outcome = call(&node, case.path, case.callers, span).await?;
        let operations = outcome.requests * case.operations;
        let cpu = (node.server.cpu_time()? - before).as_secs_f64() * 1e6 / operations as f64;
        println!(
            "| {} | {:.0} | {:.2?} | {:.2?} | {cpu:.2} us |",
            case.name,
            outcome.rate() * case.operations as f64,
            outcome.percentile(0.5),
            outcome.percentile(0.99),
        );
    }
    Ok(())
}

async fn call(node: &Node, path: &'static str, connections: usize, span: Duration) -> anyhow::Result<Outcome> {
    let load = Load { protocol: Protocol::Http1, connections, span };
    run_aside(&node.server.address, &Call::get(path, "done"), load).await
}
