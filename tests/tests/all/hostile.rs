//! A guest cannot hurt its host: a table of guests ([`rows`]), with what the callers, the log and the host see of each
//! ([`seen`]). Here each is let loose beside a neighbour, and what is left behind is looked at. `docs/sandbox.md` is the same
//! table in words.

mod rows;
mod seen;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use samovar_tests::{Callers, Node, Silent, eventually};

use rows::{ROWS, Row};

/// How long a neighbour may have to wait for its answer. Generous: the machine may be busy with other tests, too, and the
/// product not optimised.
const WORST_LATENCY: Duration = Duration::from_secs(1);

/// What all of the guests together may add to the host's memory, at any time and in the end.
const PEAK_KIB: u64 = 400 << 10;
const REST_KIB: u64 = 128 << 10;

/// What a function may keep of its log.
const LOG_BYTES: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_cannot_hurt_its_host() {
    let (node, silent) = (Node::start().await, Silent::start().await);
    node.function("neighbour").guest("hello").deploy().await;
    node.call("/neighbour").send().await.ok();
    let (before, held_before) = (node.resident_kib(), held(&node).await);
    let only = std::env::var("SAMOVAR_HOSTILE").unwrap_or_default();
    let mut failed = Vec::new();
    println!("guest and query                                worst latency beside it   host's memory");
    for row in ROWS.iter().filter(|row| row.title().contains(&only)) {
        let title = row.title();
        let neighbour = Callers::one_with_pauses(&node, "/neighbour", Duration::from_millis(5));
        // One row's failure does not hide the others'.
        if AssertUnwindSafe(run(row, &node, &silent)).catch_unwind().await.is_err() {
            failed.push(title.clone());
        }
        assert!(node.delete(Row::NAME).await.status.is_success(), "{title}");
        let worst = neighbour.stop().await.pop().unwrap_or_default();
        println!("{title:46} {worst:>23.1?} {:>11} KiB", node.resident_kib());
        if worst > WORST_LATENCY {
            failed.push(format!("{title}: a neighbour waited for {worst:?}"));
        }
        let is_free = eventually("what it held is free", async || held(&node).await, |now| *now == held_before);
        if AssertUnwindSafe(is_free).catch_unwind().await.is_err() {
            failed.push(format!("{title}: what it held"));
        }
        eventually("outbound connections are closed", async || silent.open(), |open| *open == 0).await;
    }
    assert!(failed.is_empty(), "{failed:#?}");
    // 256 requests of 600 may be under way; the connection of one that was given up is open for a moment longer.
    assert!(silent.most() <= 512, "one function had {} connections open", silent.most());
    let peak = node.peak_resident_kib();
    assert!(peak < before + PEAK_KIB, "{before} KiB before, {peak} KiB at most");
    let rest = async || node.resident_kib();
    eventually("memory is given back", rest, |now| *now < before + REST_KIB).await;
}

/// Deploys a row's guest, lets it loose, and sees what the row says.
async fn run(row: &Row, node: &Node, silent: &Silent) {
    row.deploy(node).await;
    row.see(node, silent).await;
    let logs = node.logs_bytes();
    assert!(logs <= LOG_BYTES, "{}: {logs} bytes of logs are kept", row.title());
}

/// What functions hold of their host: instances, loaded components, bytes of code and of logs.
async fn held(node: &Node) -> (u64, u64, u64, u64) {
    let host = node.host().await;
    (host.instances, host.components, host.code_bytes, node.logs_bytes())
}
