//! One long run of random failures, several at once at times, with deploys and calls all the while. In the end these must
//! hold, whatever happened:
//! - no deploy that was acknowledged is lost,
//! - after a deploy's `--wait` has returned no gateway answers with an older revision,
//! - no request that must run at most once has run twice,
//! - no member has ended by itself, and no process is left.

mod checking;
mod trouble;

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use http::Method;

use self::checking::Checking;
use self::trouble::{Trouble, Troubles};
use super::deploying::{Deploying, Journal, Marked, Plan};
use crate::cluster::{Cluster, Network};
use crate::load::{Load, Report};
use crate::tally::Tally;

/// How many failures may go on at once: so many that quorums are lost at times, and not so many that nothing works ever.
const AT_ONCE: usize = 3;

/// What a run is to be.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The same seed makes the same failures in the same order. What they meet differs from run to run.
    pub seed: u64,
    /// How many.
    pub failures: usize,
    /// Idempotent requests a second.
    pub rate: u32,
    /// How long a failure lasts at most.
    pub longest: Duration,
}

/// What came of a run.
#[derive(Debug)]
pub struct Verdict {
    /// What must not have happened, and did.
    pub violations: Vec<String>,
    /// Deploys that were acknowledged.
    pub acknowledged: usize,
    /// Deploys that were not.
    pub refused: usize,
    /// Answers that were compared with what `--wait` had said.
    pub checked: usize,
    /// The idempotent requests.
    pub load: Report,
    /// The requests that must not run twice.
    pub once: Report,
}

/// Runs it, and prints a line for each failure.
pub async fn run(options: Options) -> Verdict {
    let builder = Cluster::builder().nats(3).controls(2);
    let builder = match Network::unavailable() {
        None => builder.network(),
        Some(why) => {
            println!("without partitions: {why}");
            builder
        }
    };
    let mut cluster = builder.start().await;
    let tally = Tally::start_at(cluster.test_address());
    cluster.deploy_and_wait("hello", "").await;
    cluster.deploy_and_wait("tally", &tally.settings()).await;
    let deploying = deploy_through_both(&cluster).await;
    let journals: Vec<_> = deploying.iter().map(|deploying| deploying.journal().clone()).collect();
    let gateways = cluster.gateway_addresses();
    let checking = Checking::start(&gateways, journals);
    let load = Load::on(&gateways).path("/hello").expecting("hello\n").rate(options.rate).start();
    let paths = |number| format!("/tally?id={number}&ms=20");
    let once = Load::on(&gateways).method(Method::POST).paths(paths).rate(options.rate / 10 + 1).start();

    let mut violations = strike(&mut cluster, options).await;

    println!("all is mended; waiting until the cluster is whole");
    cluster.is_whole().await;
    let mut stopped = Vec::new();
    for deploying in deploying {
        stopped.push(deploying.stop().await);
    }
    let (load, once) = (load.stop().await, once.stop().await);
    let checked = checking.stop().await;
    violations.extend(checked.violations);
    for journal in &stopped {
        violations.extend(Marked::of(journal, &cluster.api(), &gateways).await.lost);
    }
    violations.extend(tally.repeated().into_iter().map(|id| format!("request {id} ran twice")));
    violations.extend(end(cluster).await);
    Verdict {
        violations,
        acknowledged: stopped.iter().map(Journal::acknowledged).sum(),
        refused: stopped.iter().map(Journal::refused).sum(),
        checked: checked.number,
        load,
        once,
    }
}

async fn deploy_through_both(cluster: &Cluster) -> Vec<Deploying> {
    let mut deploying = Vec::new();
    for control in 0..2 {
        let plan = Plan { deployer: control, pause: Duration::from_millis(300), wait_each: 3 };
        deploying.push(Deploying::start(cluster.api_of(control), cluster.dir(), plan).await);
    }
    deploying
}

/// Has all the failures happen, and mends them. Tells who ended by itself.
async fn strike(cluster: &mut Cluster, options: Options) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut troubles = Troubles::default();
    let mut violations = Vec::new();
    let begun = Instant::now();
    for number in 1..=options.failures {
        let span = |random: &mut fastrand::Rng, most: Duration| most.mul_f64(random.f64().powi(2));
        let lasting = Duration::from_millis(200) + span(&mut random, options.longest);
        while troubles.number() >= AT_ONCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
            violations.extend(troubles.mend_what_is_due(cluster).await);
        }
        let trouble = Trouble::random(&mut random, cluster, &troubles);
        let at = begun.elapsed().as_secs_f64();
        println!("{at:7.1} s  {number}/{}  {trouble} for {lasting:.1?}", options.failures);
        troubles.strike(trouble, lasting, cluster).await;
        // Mostly one after the other; sometimes the next one comes before this one is over.
        let pause = span(&mut random, lasting * 2);
        tokio::time::sleep(pause).await;
        violations.extend(troubles.mend_what_is_due(cluster).await);
    }
    violations.extend(troubles.mend_all(cluster).await);
    violations
}

/// Has every member stop by SIGTERM, and looks for processes that are left.
async fn end(mut cluster: Cluster) -> Vec<String> {
    let mut violations = Vec::new();
    for who in cluster.all() {
        let (code, said) = cluster.member(who).stop().await;
        if code != Some(0) {
            violations.push(format!("{who:?} did not end well: {code:?}: {said}"));
        }
    }
    violations.extend(cluster.end().into_iter().map(|process| format!("left running: {process}")));
    violations
}

impl Verdict {
    /// Whether all held that must hold.
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.acknowledged > 0 && self.checked > 0
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "deploys: {} acknowledged, {} not", self.acknowledged, self.refused)?;
        writeln!(f, "answers compared with what --wait had said: {}", self.checked)?;
        writeln!(f, "idempotent: {}", self.load)?;
        writeln!(f, "to run once: {}", self.once)?;
        for violation in &self.violations {
            writeln!(f, "VIOLATION: {violation}")?;
        }
        f.write_str(if self.holds() { "all held" } else { "NOT ALL HELD" })
    }
}
