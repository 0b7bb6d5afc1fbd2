//! How much fits on one host: memory of an idle instance, 10,000 live ones, 10,000 functions called in Zipf order, and more
//! memory wanted than there is. Prints what it finds and writes `target/bench/density.json`. Run it from the repository's root.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as Multiplexing;
use hyper_util::rt::TokioExecutor;
use samovar_benches::component::{HELD, HELLO, built, guest};
use samovar_benches::load::Client;
use samovar_benches::node::{Function, Node};
use samovar_benches::percentile::percentile;
use samovar_benches::seed::{name, seed};
use samovar_benches::server::Memory;
use serde_json::{Value, json};

const INSTANCES: u64 = 10_000;
const FUNCTIONS: usize = 10_000;
const CALLS: usize = 100_000;
const CLIENTS: usize = 8;

/// Calls that are held open at once on one connection, of which the gateway takes 256.
const CALLS_PER_CONNECTION: u64 = 200;

/// Where the report goes, and the functions that were seeded.
const DIR: &str = "target/bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut report = serde_json::Map::new();
    if wanted("instances") {
        let plain = instances("plain hello", guest("hello")?, None, INSTANCES).await?;
        let called = instances("plain, called once", guest("sleep")?, Some("?ms=10000"), 4_000).await?;
        let sdk = instances("SDK hello", built(HELLO)?, None, INSTANCES).await?;
        let held = instances("SDK, called once", built(HELD)?, Some("?held"), 4_000).await?;
        let wstd = instances("wstd, called once", guest("stream")?, Some("?count=2&ms=10000"), 4_000).await?;
        report.insert("instances".to_owned(), json!([plain, called, sdk, held, wstd]));
    }
    if wanted("functions") {
        report.insert("functions".to_owned(), functions().await?);
    }
    if wanted("pressure") {
        report.insert("pressure".to_owned(), pressure().await?);
    }
    std::fs::create_dir_all(DIR)?;
    std::fs::write(Path::new(DIR).join("density.json"), serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}

/// Makes this many instances of one function live, and if `hold` says how, calls all of them at once, so that each has
/// answered one request.
async fn instances(what: &str, component: PathBuf, hold: Option<&str>, count: u64) -> anyhow::Result<Value> {
    let node = Node::start(&["--max-instances", &count.to_string(), "--log", "warn"])?;
    let deploy = |warm: u64| {
        let settings = format!("scale.min_warm = {warm}\nscale.max_instances = {count}\nscale.idle_timeout = '1h'");
        node.deploy(&[Function::new("one", &component).with(settings)])
    };
    deploy(0)?;
    let (status, _) = get(&mut Client::connect(&node.server.address).await?, "/one").await?;
    anyhow::ensure!(status == 200, "{what}: status {status}");
    let before = node.server.memory()?;
    let started = Instant::now();
    deploy(count)?;
    while node.function("one").await?.idle < count {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(60), "{what}: {:?}", node.function("one").await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let made_after = started.elapsed();
    if let Some(query) = hold {
        let url = format!("http://{}/one{query}", node.server.address);
        let calls = tokio::spawn(async move { call_all(&url, count).await });
        // All at once, or some instance is called twice and another one never.
        while node.function("one").await?.busy < count {
            anyhow::ensure!(!calls.is_finished(), "{what}: not every instance was called; {:?}", calls.await?);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        calls.await?.with_context(|| what.to_owned())?;
        let stats = node.function("one").await?;
        anyhow::ensure!(stats.idle == count, "{what}: not every instance is left: {stats:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let after = node.server.memory()?;
    let each = |of: fn(Memory) -> u64| (of(after) - of(before)) as f64 / 1024.0 / count as f64;
    let (resident, tables) = (each(|memory| memory.resident_bytes), each(|memory| memory.page_tables_bytes));
    let own = each(|memory| memory.own_bytes);
    println!(
        "{what}: {count} live after {made_after:.2?}; {resident:.1} KiB resident each, {own:.1} KiB of it not shared, and {tables:.1} \
         KiB of page tables; process {} MiB",
        after.resident_bytes >> 20
    );
    Ok(json!({
        "what": what, "instances": count, "made_millis": made_after.as_millis() as u64, "resident_kib_each": resident, "own_kib_each": own,
        "page_tables_kib_each": tables, "before": shown(before), "after": shown(after),
    }))
}

/// Calls this often at once, and waits until all are answered.
async fn call_all(url: &str, count: u64) -> anyhow::Result<()> {
    // Many to a connection: what is measured is not what connections leave behind in the heap.
    let connect = || Multiplexing::builder(TokioExecutor::new()).http2_only(true).build_http::<Empty<Bytes>>();
    let connections: Vec<_> = (0..count.div_ceil(CALLS_PER_CONNECTION)).map(|_| connect()).collect();
    let mut calls = Vec::new();
    for index in 0..count {
        let (connection, uri) = (connections[(index / CALLS_PER_CONNECTION) as usize].clone(), url.parse()?);
        calls.push(tokio::spawn(async move {
            let response = connection.get(uri).await?;
            anyhow::ensure!(response.status() == 200, "status {}", response.status());
            response.into_body().collect().await?;
            Ok(())
        }));
    }
    for call in calls {
        call.await??;
    }
    Ok(())
}

fn shown(memory: Memory) -> Value {
    json!({ "resident_kib": memory.resident_bytes >> 10, "page_tables_kib": memory.page_tables_bytes >> 10 })
}

/// Many functions: start-up, and calls in Zipf order with room for the code of a part of them.
async fn functions() -> anyhow::Result<Value> {
    let data = Path::new(DIR).join("density-data");
    prepare(&data).await?;
    let started = Instant::now();
    let node = Node::start_on(&data, &["--log", "warn", "--code-budget", "128MiB"])?;
    let (ready_after, at_start) = (started.elapsed(), node.server.memory()?);
    println!(
        "{FUNCTIONS} functions: ready after {ready_after:.0?}, {} MiB resident and {} MiB of page tables",
        at_start.resident_bytes >> 20,
        at_start.page_tables_bytes >> 20
    );
    let order = Arc::new(zipf(FUNCTIONS, CALLS));
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (order, next, address) = (Arc::clone(&order), Arc::clone(&next), node.server.address.clone());
            tokio::spawn(async move { client(&address, &order, &next).await })
        })
        .collect();
    let mut latencies = Vec::with_capacity(CALLS);
    for client in clients {
        latencies.extend(client.await??);
    }
    let took = started.elapsed();
    let (host, after) = (node.host().await?, node.server.memory()?);
    let kinds = [("all", None), ("warm", Some(true)), ("cold", Some(false))].map(|(kind, warm)| {
        let mut of: Vec<_> = latencies.iter().filter(|call| warm.is_none_or(|warm| call.1 == warm)).collect();
        of.sort_unstable();
        let at = |share: f64| percentile(&of, share).map(|call| call.0.as_micros() as u64);
        json!({ "kind": kind, "calls": of.len(), "p50_micros": at(0.5), "p99_micros": at(0.99) })
    });
    let hit_rate = 1.0 - host.code_loads as f64 / CALLS as f64;
    println!(
        "{CALLS} calls in Zipf order, {CLIENTS} at a time, in {took:.1?}: code was there for {:.1} %, {} loads, {} \
         evictions; {} components and {} instances at the end, {} MiB resident\n{}",
        hit_rate * 100.0,
        host.code_loads,
        host.code_evictions,
        host.components,
        host.instances,
        after.resident_bytes >> 20,
        json!(kinds)
    );
    Ok(json!({
        "functions": FUNCTIONS, "ready_millis": ready_after.as_millis() as u64, "at_start": shown(at_start), "calls": CALLS, "clients": CLIENTS,
        "seconds": took.as_secs_f64(), "hit_rate": hit_rate, "latency": kinds, "host": host, "after": shown(after),
    }))
}

/// Seeds the data directory, unless that was done before with the same component: it takes minutes, since each deploy is synced to the disk.
async fn prepare(data: &Path) -> anyhow::Result<()> {
    let (component, mark) = (guest("hello")?, data.join("seeded"));
    let bytes = std::fs::read(&component)?;
    if std::fs::read(&mark).is_ok_and(|seeded| seeded == bytes) {
        return Ok(());
    }
    if data.exists() {
        std::fs::remove_dir_all(data)?;
    }
    std::fs::create_dir_all(data)?;
    let first = Node::start_on(data, &["--log", "warn"])?;
    first.deploy(&[Function::new("seed", &component)])?;
    first.into_server().stop()?;
    let started = Instant::now();
    seed(data, &bytes, FUNCTIONS).await?;
    println!("{FUNCTIONS} functions seeded in {:.1?}", started.elapsed());
    Ok(std::fs::write(mark, bytes)?)
}

/// Functions in the order in which they are called: the one of rank `r` with a chance in proportion to `1 / r`. The same order
/// every time.
fn zipf(functions: usize, calls: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut by_rank: Vec<usize> = (0..functions).collect();
    random.shuffle(&mut by_rank);
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=functions)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let rank = |at: f64| sums.partition_point(|sum| *sum < at).min(functions - 1);
    (0..calls).map(|_| by_rank[rank(random.f64() * sum)]).collect()
}

/// Calls in turn with the other clients. Answers how long each call took, and whether an instance was waiting for it.
async fn client(address: &str, order: &[usize], next: &AtomicU64) -> anyhow::Result<Vec<(Duration, bool)>> {
    let mut client = Client::connect(address).await?;
    let mut calls = Vec::new();
    while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
        let started = Instant::now();
        let (status, warm) = get(&mut client, &format!("/{}", name(*index))).await?;
        anyhow::ensure!(status == 200, "{}: status {status}", name(*index));
        calls.push((started.elapsed(), warm));
    }
    Ok(calls)
}

/// Calls a function. Answers the status, and whether an instance was waiting for it.
async fn get(client: &mut Client, path: &str) -> anyhow::Result<(u16, bool)> {
    let answer = client.get(path).await?;
    Ok((answer.status, answer.header("x-samovar-instance") == Some("warm")))
}

/// Twenty functions that want 64 MiB each, on a host that may have 256 MiB, over and over.
async fn pressure() -> anyhow::Result<Value> {
    const ROUNDS: usize = 50;
    let node = Arc::new(Node::start(&["--memory-budget", "256MiB", "--log", "error"])?);
    let component = guest("allocate")?;
    let function = |index| {
        Function::new(format!("a{index}"), &component).with("limits.memory = '128MiB'\nscale.idle_timeout = '1h'")
    };
    node.deploy(&(0..20).map(function).collect::<Vec<_>>())?;
    let stop = Arc::<AtomicBool>::default();
    let watch = std::thread::spawn({
        let (node, stop) = (Arc::clone(&node), Arc::clone(&stop));
        move || {
            let mut peak_bytes = 0;
            while !stop.load(Ordering::Relaxed) {
                let memory = node.server.memory()?;
                peak_bytes = peak_bytes.max(memory.resident_bytes + memory.page_tables_bytes);
                std::thread::sleep(Duration::from_millis(2));
            }
            anyhow::Ok(peak_bytes)
        }
    });
    let (mut answered, mut shed) = (0, 0);
    for _ in 0..ROUNDS {
        let calls: Vec<_> = (0..20)
            .map(|index| {
                let address = node.server.address.clone();
                tokio::spawn(async move { allocate(&address, index).await })
            })
            .collect();
        for call in calls {
            match call.await?? {
                200 => answered += 1,
                503 => shed += 1,
                status => anyhow::bail!("status {status} under memory pressure"),
            }
        }
    }
    let mut after = 0;
    for index in 0..20 {
        after += u32::from(allocate(&node.server.address, index).await? == 200);
    }
    stop.store(true, Ordering::Relaxed);
    let peak_kib = watch.join().map_err(|_| anyhow::anyhow!("the watch crashed"))?? >> 10;
    let host = node.host().await?;
    println!(
        "20 functions that want 64 MiB each under a budget of 256 MiB, {ROUNDS} times all at once: {answered} answered, \
         {shed} shed, at most {} MiB with page tables; then {after} of 20 answered one after the other",
        peak_kib >> 10
    );
    Ok(
        json!({ "rounds": ROUNDS, "answered": answered, "shed": shed, "peak_kib": peak_kib, "after": after, "host": host }),
    )
}

/// Calls one of the functions that want memory, over a connection of its own; its status.
async fn allocate(address: &str, index: u32) -> anyhow::Result<u16> {
    let (status, _) = get(&mut Client::connect(address).await?, &format!("/a{index}?mib=64")).await?;
    Ok(status)
}
