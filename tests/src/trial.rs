//! One failure, tried on a whole cluster under load: idempotent requests at a fixed rate, requests that must not run twice,
//! and deploys, before, during and after it. What came of them is a [`Row`].

pub mod chaos;
mod deploying;
mod fault;
mod row;
mod table;

use std::time::Duration;

use http::Method;

pub use deploying::{Deploying, Journal, Marked, Marks, Plan};
pub use fault::{Fault, Rig};
pub use row::Row;
pub use table::page;

use crate::cluster::Cluster;
use crate::load::{Load, Report};
use crate::tally::Tally;

/// How many functions share each of the two kinds of requests: so many that every host has some of them.
const FUNCTIONS: u64 = 6;

/// How long and how hard a failure is tried.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Idempotent requests a second, over all gateways together.
    pub rate: u32,
    /// Requests a second that must not run twice.
    pub once_rate: u32,
    /// How long all is well before and after.
    pub calm: Duration,
    /// How long a failure lasts that has no length of its own.
    pub during: Duration,
    /// How long NATS is away.
    pub away: Duration,
}

impl Scale {
    /// For the binary as it is shipped: as the figures in `docs/cluster-failures.md` were measured.
    pub fn full() -> Self {
        let calm = Duration::from_secs(5);
        Self { rate: 2000, once_rate: 50, calm, during: Duration::from_secs(8), away: Duration::from_secs(60) }
    }

    /// For a build without optimisation, on a machine that does other things as well.
    pub fn short() -> Self {
        let seconds = Duration::from_secs;
        Self { rate: 200, once_rate: 20, calm: seconds(2), during: seconds(3), away: seconds(5) }
    }
}

/// Starts a cluster, has this failure happen to it, and tells what came of the load.
pub async fn try_fault(fault: Fault, scale: Scale) -> Row {
    let mut rig = Rig::start(fault).await;
    let tally = Tally::start_at(rig.cluster.test_address());
    let functions = deploy(&rig.cluster, &tally).await;
    rig.aim(&functions).await;
    let plan = Plan { deployer: 0, pause: Duration::from_millis(500), wait_each: 0 };
    let deploying = Deploying::start(rig.cluster.api(), rig.cluster.dir(), plan).await;
    let gateways = rig.cluster.gateway_addresses();
    let paths = |number| format!("/hello-{}", number / 2 % FUNCTIONS);
    let load = Load::on(&gateways).paths(paths).expecting("hello\n").rate(scale.rate).start();
    let paths = |number| format!("/tally-{}?id={number}&ms=20", number / 2 % FUNCTIONS);
    let once = Load::on(&gateways).method(Method::POST).paths(paths).rate(scale.once_rate).start();

    // Connections and instances are made, and then all is as usual.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = load.now();
    tokio::time::sleep(scale.calm).await;
    let struck = load.now();
    rig.strike().await;
    let lasting = fault.lasts(scale);
    tokio::time::sleep(lasting.saturating_sub(load.now() - struck)).await;
    let mended = load.now();
    rig.mend().await;
    tokio::time::sleep(scale.calm).await;

    let (report, once) = (load.stop().await, once.stop().await);
    let journal = deploying.stop().await;
    let marked = Marked::of(&journal, &rig.cluster.api(), &gateways).await;
    let times = Times { began, struck, mended };
    row(fault, &times, &report, &once, &tally, &marked)
}

/// Deploys the functions of the load, and has each called through every gateway. Tells their names.
async fn deploy(cluster: &Cluster, tally: &Tally) -> Vec<String> {
    let api = cluster.api();
    let mut names = Vec::new();
    for number in 0..FUNCTIONS {
        let [hello, counting] = ["hello", "tally"].map(|guest| format!("{guest}-{number}"));
        api.function(&hello).guest("hello").deploy().await;
        api.function(&counting).guest("tally").with(&tally.settings()).deploy().await;
        cluster.is_answered(&format!("/{hello}")).await;
        cluster.is_answered_each_time(|attempt| format!("/{counting}?id=try-{number}-{attempt}")).await;
        names.extend([hello, counting]);
    }
    names
}

/// When what happened, on the clock of the load.
struct Times {
    began: Duration,
    struck: Duration,
    mended: Duration,
}

fn row(fault: Fault, times: &Times, report: &Report, once: &Report, tally: &Tally, marked: &Marked) -> Row {
    let before = report.window(times.began..times.struck);
    // What is called slow must not be the noise of a busy machine.
    let slow = (before.p99 * 10).max(Duration::from_millis(250));
    let silences = (0..fault.gateways()).map(|gateway| report.longest_silence(gateway)).collect();
    Row {
        fault,
        sent: report.sent(),
        failures: report.failures(),
        before,
        during: report.window(times.struck..times.mended),
        after: report.window(times.mended..Duration::MAX),
        recovered: report.recovered_after(times.struck, slow),
        silences,
        once_sent: once.sent(),
        once_failures: once.failures(),
        repeated: tally.repeated(),
        acknowledged: marked.acknowledged,
        refused: marked.refused,
        lost: marked.lost.clone(),
    }
}
