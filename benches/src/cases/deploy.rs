//! From `samovar deploy` to the first answer, and what it does to others.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::component::{HELLO, JAVASCRIPT, PLAIN, PYTHON, built, distinct, size};
use crate::load::{Call, Client, paced};
use crate::node::{Function, Node};
use crate::percentile::median;
use crate::report::{Better, Column, Goal, Row, Side, Table};

/// The light load on another function: a request each.
const INTERVAL: Duration = Duration::from_millis(5);

/// The most that others' p99 may be while something is deployed, in milliseconds.
const OTHERS_MILLIS: f64 = 10.0;

/// What is deployed, how often, and within how many milliseconds it should answer.
const DEPLOYS: [(&str, &str, u64, Option<f64>); 4] = [
    ("Rust, plain", PLAIN, 20, Some(300.0)),
    ("Rust, SDK", HELLO, 20, None),
    ("JavaScript", JAVASCRIPT, 3, Some(6000.0)),
    ("Python", PYTHON, 3, None),
];

/// Each component several times, with other bytes each time.
pub(super) fn deploy() -> anyhow::Result<Table> {
    let node = Node::with(&[Function::new("other", built(PLAIN)?)])?;
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    let alone = idle(&node)?;
    for (name, path, times, aim) in DEPLOYS {
        let path = built(path)?;
        let others = paced(&node.server.address, &other(), INTERVAL);
        let mut took = Vec::new();
        for time in 0..times {
            took.push(deploy_and_call(&node, &path, time)?.as_secs_f64() * 1e3);
        }
        let others = others.finish()?.percentile(0.99).as_secs_f64() * 1e3;
        let most = took.iter().copied().fold(0.0, f64::max);
        let name = format!("{name}, {}", size(&path)?);
        if let Some(aim) = aim {
            goals.push(Goal::at_most(format!("deploy to first answer: {name}"), aim, median(took.clone()), "ms"));
            goals.push(Goal::at_most(
                format!("p99 of another function meanwhile: {name}"),
                OTHERS_MILLIS,
                others,
                "ms",
            ));
        }
        rows.push(Row::new(name, Side::Samovar, vec![median(took), most, others]));
    }
    Ok(Table {
        id: String::new(),
        title: "Deploy to first answer".to_owned(),
        conditions: format!(
            "From starting `samovar deploy --no-build` to the end of the first answer of the new function; another component each time, \
             so that it must be compiled ({} times in Rust, {} in JavaScript and Python). Meanwhile another function gets a request \
             every {INTERVAL:?}; its latency counts from when the request was due, so that up to 1 ms of it is the timer's grain (p99 with \
             nothing deployed: {alone:.2} ms).",
            DEPLOYS[0].2, DEPLOYS[2].2
        ),
        measured: crate::machine::now(),
        columns: vec![
            Column::new("median", "ms", 1, Better::Lower),
            Column::new("most", "ms", 1, Better::Lower),
            Column::new("p99 of another function meanwhile", "ms", 2, Better::Lower),
        ],
        rows,
        goals,
    })
}

fn other() -> Call {
    Call::get("/other", "hello from /hello\n")
}

/// The other function's p99 while nothing is deployed, in milliseconds.
fn idle(node: &Node) -> anyhow::Result<f64> {
    let others = paced(&node.server.address, &other(), INTERVAL);
    std::thread::sleep(Duration::from_secs(3));
    Ok(others.finish()?.percentile(0.99).as_secs_f64() * 1e3)
}

fn deploy_and_call(node: &Node, component: &Path, time: u64) -> anyhow::Result<Duration> {
    let copy = node.file("deployed.wasm");
    std::fs::write(&copy, distinct(&std::fs::read(component)?, time))?;
    let function = Function::new("new", &copy);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = Instant::now();
    node.deploy(&[function])?;
    let answer = runtime.block_on(async { Client::connect(&node.server.address).await?.get("/new").await })?;
    let took = started.elapsed();
    anyhow::ensure!(answer.status == 200, "/new answered {}", answer.status);
    // A revision that was called before has a warm instance: this was not it.
    let instance = answer.header("x-samovar-instance");
    anyhow::ensure!(instance == Some("cold"), "/new came from an instance that was {instance:?}");
    Ok(took)
}
