//! How much fits on one host: memory of an idle instance, 10,000 live ones, 10,000 functions called in Zipf order, and more
//! memory wanted than there is. Prints what it finds and writes `target/bench/density.json`. Run it from the repository's root.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use samovar_benches::controlled::{Caller, Memory, Node, caller, memory, multiplexing_caller};
use samovar_benches::node::bin_dir;
use samovar_benches::percentile::percentile;
use samovar_benches::seed::{component, name, seed};
use serde_json::{Value, json};

const INSTANCES: u64 = 10_000;
const FUNCTIONS: usize = 10_000;
const CALLS: usize = 100_000;
const CLIENTS: usize = 8;

/// Calls that are held open at once on one connection, of which the gateway takes 256.
const CALLS_PER_CONNECTION: u64 = 200;

const GUESTS: &str = "tests/guests/target/wasm32-wasip2/release";
const EXAMPLES: &str = "examples/target/wasm32-wasip2/release";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut report = serde_json::Map::new();
    if wanted("instances") {
        let plain = instances("plain hello", &format!("{GUESTS}/hello.wasm"), None, INSTANCES).await?;
        let called = instances("plain, called once", &format!("{GUESTS}/sleep.wasm"), Some("?ms=10000"), 4_000).await?;
        let sdk = instances("SDK hello", &format!("{EXAMPLES}/hello.wasm"), None, INSTANCES).await?;
        let stream = format!("{GUESTS}/stream.wasm");
        let wstd = instances("wstd, called once", &stream, Some("?count=2&ms=10000"), 4_000).await?;
        report.insert("instances".to_owned(), json!([plain, called, sdk, wstd]));
    }
    if wanted("functions") {
        report.insert("functions".to_owned(), functions().await?);
    }
    if wanted("pressure") {
        report.insert("pressure".to_owned(), pressure().await?);
    }
    let dir = target_dir()?.join("bench");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("density.json"), serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}

fn target_dir() -> anyhow::Result<PathBuf> {
    Ok(bin_dir()?.parent().context("profiles have a common directory")?.to_owned())
}

/// Makes this many instances of one function live, and if `hold` says how, calls all of them at once, so that each has
/// answered one request.
async fn instances(what: &str, path: &str, hold: Option<&str>, count: u64) -> anyhow::Result<Value> {
    let data = tempfile::tempdir()?;
    let node = Node::start(data.path(), &["--max-instances", &count.to_string(), "--log", "warn"]).await?;
    let wasm = component(path)?;
    let scale = |warm: u64| json!({ "scale": { "min_warm": warm, "max_instances": count, "idle_timeout": "1h" } });
    node.deploy("one", &wasm, scale(0)).await?;
    get(&caller(), &format!("{}/one", node.gateway)).await?;
    let before = node.memory()?;
    let started = Instant::now();
    node.deploy("one", &wasm, scale(count)).await?;
    while node.function("one").await?.idle < count {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(60), "{what}: {:?}", node.function("one").await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let made_after = started.elapsed();
    if let Some(query) = hold {
        let url = format!("{}/one{query}", node.gateway);
        // Many to a connection: what is measured is not what connections leave behind in the heap.
        let connections: Vec<_> = (0..count.div_ceil(CALLS_PER_CONNECTION)).map(|_| multiplexing_caller()).collect();
        let calls: Vec<_> = (0..count)
            .map(|index| {
                let caller = connections[(index / CALLS_PER_CONNECTION) as usize].clone();
                let url = url.clone();
                tokio::spawn(async move { get(&caller, &url).await })
            })
            .collect();
        for call in calls {
            let (status, _) = call.await??;
            anyhow::ensure!(status == 200, "{what}: status {status}");
        }
        let stats = node.function("one").await?;
        anyhow::ensure!(stats.idle == count, "{what}: not every instance was called: {stats:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let after = node.memory()?;
    let each = |of: fn(Memory) -> u64| (of(after) - of(before)) as f64 / count as f64;
    let (resident, tables) = (each(|memory| memory.resident_kib), each(|memory| memory.page_tables_kib));
    println!(
        "{what}: {count} live after {made_after:.2?}; {resident:.1} KiB resident each, and {tables:.1} KiB of page tables; \
         process {} MiB",
        after.resident_kib >> 10
    );
    node.stop().await?;
    Ok(json!({
        "what": what, "instances": count, "made_millis": made_after.as_millis() as u64, "resident_kib_each": resident,
        "page_tables_kib_each": tables, "before": before.json(), "after": after.json(),
    }))
}

/// Many functions: start-up, and calls in Zipf order with room for the code of a part of them.
async fn functions() -> anyhow::Result<Value> {
    let wasm = component(&format!("{GUESTS}/hello.wasm"))?;
    let data = target_dir()?.join("bench").join("density-data");
    prepare(&data, &wasm).await?;
    let node = Node::start(&data, &["--log", "warn", "--code-budget", "128MiB"]).await?;
    let at_start = node.memory()?;
    println!(
        "{FUNCTIONS} functions: ready after {:.0?}, {} MiB resident and {} MiB of page tables",
        node.ready_after,
        at_start.resident_kib >> 10,
        at_start.page_tables_kib >> 10
    );
    let order = Arc::new(zipf(FUNCTIONS, CALLS));
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (order, next, gateway) = (Arc::clone(&order), Arc::clone(&next), node.gateway.clone());
            tokio::spawn(async move { client(&gateway, &order, &next).await })
        })
        .collect();
    let mut latencies = Vec::with_capacity(CALLS);
    for client in clients {
        latencies.extend(client.await??);
    }
    let took = started.elapsed();
    let (host, after) = (node.host().await?, node.memory()?);
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
        after.resident_kib >> 10,
        json!(kinds)
    );
    let ready = node.ready_after.as_millis() as u64;
    node.stop().await?;
    Ok(json!({
        "functions": FUNCTIONS, "ready_millis": ready, "at_start": at_start.json(), "calls": CALLS, "clients": CLIENTS,
        "seconds": took.as_secs_f64(), "hit_rate": hit_rate, "latency": kinds, "host": host, "after": after.json(),
    }))
}

/// Seeds the data directory, unless that was done before: it takes minutes, since each deploy is synced to the disk.
async fn prepare(data: &Path, wasm: &[u8]) -> anyhow::Result<()> {
    if data.join("seeded").exists() {
        return Ok(());
    }
    if data.exists() {
        std::fs::remove_dir_all(data)?;
    }
    std::fs::create_dir_all(data)?;
    let first = Node::start(data, &["--log", "warn"]).await?;
    first.deploy("seed", wasm, json!({})).await?;
    first.stop().await?;
    let started = Instant::now();
    seed(data, wasm, FUNCTIONS).await?;
    println!("{FUNCTIONS} functions seeded in {:.1?}", started.elapsed());
    Ok(std::fs::write(data.join("seeded"), "")?)
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
async fn client(gateway: &str, order: &[usize], next: &AtomicU64) -> anyhow::Result<Vec<(Duration, bool)>> {
    let caller = caller();
    let mut calls = Vec::new();
    while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
        let started = Instant::now();
        let (status, warm) = get(&caller, &format!("{gateway}/{}", name(*index))).await?;
        anyhow::ensure!(status == 200, "{}: status {status}", name(*index));
        calls.push((started.elapsed(), warm));
    }
    Ok(calls)
}

/// Calls a function. Answers the status, and whether an instance was waiting for it.
async fn get(caller: &Caller, url: &str) -> anyhow::Result<(u16, bool)> {
    let response = caller.request(Request::get(url).body(Full::new(Bytes::new()))?).await?;
    let status = response.status().as_u16();
    let warm = response.headers().get("x-samovar-instance").is_some_and(|value| value == "warm");
    response.into_body().collect().await?;
    Ok((status, warm))
}

/// Twenty functions that want 64 MiB each, on a host that may have 256 MiB, over and over.
async fn pressure() -> anyhow::Result<Value> {
    const ROUNDS: usize = 50;
    let data = tempfile::tempdir()?;
    let node = Node::start(data.path(), &["--memory-budget", "256MiB", "--log", "error"]).await?;
    let wasm = component(&format!("{GUESTS}/allocate.wasm"))?;
    let settings = json!({ "limits": { "memory": "128MiB" }, "scale": { "idle_timeout": "1h" } });
    for index in 0..20 {
        node.deploy(&format!("a{index}"), &wasm, settings.clone()).await?;
    }
    let (peak, stop, pid) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default(), node.pid()?);
    let watch = std::thread::spawn({
        let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(memory(pid).map_or(0, Memory::total_kib), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let (mut answered, mut shed) = (0, 0);
    for _ in 0..ROUNDS {
        let calls: Vec<_> = (0..20)
            .map(|index| {
                let (caller, url) = (caller(), format!("{}/a{index}?mib=64", node.gateway));
                tokio::spawn(async move { get(&caller, &url).await })
            })
            .collect();
        for call in calls {
            match call.await?? {
                (200, _) => answered += 1,
                (503, _) => shed += 1,
                (status, _) => anyhow::bail!("status {status} under memory pressure"),
            }
        }
    }
    let (mut after, one) = (0, caller());
    for index in 0..20 {
        after += u32::from(get(&one, &format!("{}/a{index}?mib=64", node.gateway)).await?.0 == 200);
    }
    stop.store(true, Ordering::Relaxed);
    drop(watch.join());
    let (host, peak_kib) = (node.host().await?, peak.load(Ordering::Relaxed));
    println!(
        "20 functions that want 64 MiB each under a budget of 256 MiB, {ROUNDS} times all at once: {answered} answered, \
         {shed} shed, at most {} MiB with page tables; then {after} of 20 answered one after the other",
        peak_kib >> 10
    );
    node.stop().await?;
    Ok(
        json!({ "rounds": ROUNDS, "answered": answered, "shed": shed, "peak_kib": peak_kib, "after": after, "host": host }),
    )
}
