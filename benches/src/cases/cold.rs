//! Cold starts: what the first call of a function takes beyond a warm one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::component::{self, HELLO, PLAIN, built, distinct, size};
use crate::load::Client;
use crate::node::{Function, Node};
use crate::percentile::{median, percentile_of};
use crate::report::{Better, Column, Goal, Row, Side, Table};

/// Cold starts of code, for components of one language.
pub(super) struct Language {
    name: &'static str,
    component: &'static str,
    /// Distinct components that are deployed.
    functions: usize,
    /// Starts of the node; each function's first call after each is a cold one.
    starts: usize,
    /// What is aimed at, in milliseconds.
    p50_millis: f64,
    p99_millis: Option<f64>,
}

pub(super) const RUST: Language =
    Language { name: "Rust", component: HELLO, functions: 50, starts: 6, p50_millis: 0.3, p99_millis: Some(2.0) };

/// Compiling one takes seconds: hence few.
pub(super) const JAVASCRIPT: Language = Language {
    name: "JavaScript",
    component: component::JAVASCRIPT,
    functions: 5,
    starts: 8,
    p50_millis: 3.0,
    p99_millis: None,
};

pub(super) const PYTHON: Language = Language {
    name: "Python",
    component: component::PYTHON,
    functions: 5,
    starts: 8,
    p50_millis: 6.0,
    p99_millis: None,
};

/// Calls after the first, of which the median is what a warm call takes.
const WARM_CALLS: usize = 9;

/// Components, pairs of a warm call and one with a fresh instance, and what is aimed at in microseconds.
const FRESH: [(&str, &str, usize, Option<f64>); 4] = [
    ("Rust, plain", PLAIN, 3000, Some(40.0)),
    ("Rust, SDK", HELLO, 3000, Some(40.0)),
    ("JavaScript", component::JAVASCRIPT, 200, None),
    ("Python", component::PYTHON, 200, None),
];

/// What calls of one function took.
struct Called {
    first: Duration,
    warm: Duration,
}

/// Code on disk and not loaded: the node is started again, and each function is called for the first time.
pub(super) fn code(language: &Language) -> anyhow::Result<Table> {
    let original = built(language.component)?;
    let warmer = Function::new("warmer", built(PLAIN)?);
    let mut node = Node::with(&[warmer])?;
    let (bytes, mut functions) = (std::fs::read(&original)?, Vec::new());
    for number in 0..language.functions {
        let copy: PathBuf = node.file(&format!("copy-{number}.wasm"));
        std::fs::write(&copy, distinct(&bytes, number as u64))?;
        functions.push(Function::new(format!("cold-{number}"), copy));
    }
    node.deploy(&functions)?;

    let mut added = Vec::new();
    let mut very_first = Vec::new();
    let mut warm = Vec::new();
    for _ in 0..language.starts {
        node = node.restart()?;
        let called = runtime()?.block_on(call_each(&node.server.address, &functions))?;
        for (index, Called { first, warm: again }) in called.into_iter().enumerate() {
            let millis = first.saturating_sub(again).as_secs_f64() * 1e3;
            if index == 0 {
                very_first.push(millis)
            } else {
                added.push(millis)
            }
            warm.push(again.as_secs_f64() * 1e3);
        }
    }
    let (p50, p99) = (median(added.clone()), percentile_of(added.clone(), 0.99));
    let row = |name: String, values| Row::new(name, Side::Samovar, values);
    let what = |share| format!("{} cold start, code on disk: {share} added to a warm call", language.name);
    let mut goals = vec![Goal::at_most(what("p50"), language.p50_millis, p50, "ms")];
    goals.extend(language.p99_millis.map(|aim| Goal::at_most(what("p99"), aim, p99, "ms")));
    Ok(Table {
        id: String::new(),
        title: format!("Cold start of code, {} ({})", language.name, size(&original)?),
        conditions: format!(
            "{} functions of distinct components are deployed, the node is stopped and started {} times, and each function is called \
             once over one connection, and {WARM_CALLS} times more: compiled code is on disk (in the page cache) and not loaded. \
             Added time is the first call less the median of the others. One other component answers before; the first of these \
             in each process has a row of its own. {} cold starts.",
            language.functions,
            language.starts,
            added.len()
        ),
        measured: crate::machine::now(),
        columns: vec![
            Column::new("p50", "ms", 3, Better::Lower),
            Column::new("p99", "ms", 3, Better::Lower),
            Column::new("most", "ms", 3, Better::Lower),
        ],
        rows: vec![
            row(format!("{}, added by a cold start", language.name), vec![p50, p99, percentile_of(added, 1.0)]),
            row(
                format!("{}, added by the first in a process", language.name),
                vec![
                    median(very_first.clone()),
                    percentile_of(very_first.clone(), 0.99),
                    percentile_of(very_first, 1.0),
                ],
            ),
            row(
                format!("{}, a warm call", language.name),
                vec![median(warm.clone()), percentile_of(warm.clone(), 0.99), percentile_of(warm, 1.0)],
            ),
        ],
        goals,
    })
}

/// Each function once and then again, over one connection that is warm.
async fn call_each(address: &str, functions: &[Function]) -> anyhow::Result<Vec<Called>> {
    let mut client = Client::connect(address).await?;
    for _ in 0..20 {
        timed(&mut client, "/warmer", None).await?;
    }
    let mut called = Vec::new();
    for function in functions {
        let path = format!("/{}", function.name);
        let first = timed(&mut client, &path, Some("cold")).await?;
        // A call that took longer than a turn gives its instance back a moment after its answer.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut again = Vec::new();
        for _ in 0..WARM_CALLS {
            again.push(timed(&mut client, &path, Some("warm")).await?.as_secs_f64());
        }
        called.push(Called { first, warm: Duration::from_secs_f64(median(again)) });
    }
    Ok(called)
}

/// A fresh instance of loaded code: warm calls and calls with `isolation = "request"`, one after the other.
pub(super) fn instance() -> anyhow::Result<Table> {
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for (name, path, pairs, aim_micros) in FRESH {
        let path = built(path)?;
        let fresh = Function::new("fresh", &path).with("isolation = \"request\"");
        let node = Node::with(&[Function::new("warm", &path), fresh])?;
        let added = runtime()?.block_on(pairs_of_calls(&node.server.address, pairs))?;
        let p50 = median(added.clone());
        let what = format!("{name}: cold instance, code loaded: p50 added to a warm call");
        goals.extend(aim_micros.map(|aim| Goal::at_most(what, aim, p50, "us")));
        let values = vec![p50, percentile_of(added.clone(), 0.99)];
        rows.push(Row::new(format!("{name}, added by a fresh instance"), Side::Samovar, values));
    }
    Ok(Table {
        id: String::new(),
        title: "Cold start of an instance, code loaded".to_owned(),
        conditions: format!(
            "One connection, calls of a warm function and of the same component with `isolation = \"request\"` in turn, {} pairs \
             (JavaScript and Python {}). Added time is the difference within each pair.",
            FRESH[0].2, FRESH[2].2
        ),
        measured: crate::machine::now(),
        columns: vec![Column::new("p50", "us", 1, Better::Lower), Column::new("p99", "us", 1, Better::Lower)],
        rows,
        goals,
    })
}

/// What a fresh instance added to each pair, in microseconds.
async fn pairs_of_calls(address: &str, pairs: usize) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::connect(address).await?;
    for _ in 0..100 {
        timed(&mut client, "/warm", None).await?;
        timed(&mut client, "/fresh", None).await?;
    }
    let mut added = Vec::new();
    for _ in 0..pairs {
        let warm = timed(&mut client, "/warm", Some("warm")).await?;
        let fresh = timed(&mut client, "/fresh", Some("cold")).await?;
        added.push((fresh.as_secs_f64() - warm.as_secs_f64()) * 1e6);
    }
    Ok(added)
}

/// How long a call takes; the answer must say that it came from an instance of this kind.
async fn timed(client: &mut Client, path: &str, instance: Option<&str>) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let answer = client.get(path).await?;
    let took = started.elapsed();
    anyhow::ensure!(answer.status == 200, "{path} answered {}", answer.status);
    if instance.is_some() {
        let told = answer.header("x-samovar-instance");
        anyhow::ensure!(told == instance, "{path} came from an instance that was {told:?}, not {instance:?}");
    }
    Ok(took)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
