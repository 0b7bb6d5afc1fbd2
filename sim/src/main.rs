//! Simulates every policy on clusters of different sizes, and writes what came out into the page that is named: `simulate
//! docs/cluster-simulation.md`, with the chart beside it. Without a page it prints.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use samovar_gateway::balance::Policy;
use samovar_sim::report::{Comparison, markdown, replace, svg};
use samovar_sim::run::{Setup, run};

const HOSTS: [usize; 3] = [10, 100, 1000];
const GATEWAYS: [usize; 3] = [1, 4, 16];

fn main() -> anyhow::Result<()> {
    let page = std::env::args_os().nth(1).map(PathBuf::from);
    let floor = run(Policy::Adaptive, &setup(1));
    let mut comparisons = Vec::new();
    for hosts in HOSTS {
        let setup = setup(hosts);
        let findings = Policy::ALL.map(|policy| {
            let findings = run(policy, &setup);
            eprintln!("{hosts} hosts, {policy}: {findings:?}");
            (policy, findings)
        });
        comparisons.push(Comparison { setup, findings: findings.into() });
    }
    let by_gateways = GATEWAYS.map(|gateways| {
        let setup = Setup { gateways, ..setup(100) };
        let findings = run(Policy::Adaptive, &setup);
        (setup, findings)
    });
    let measured = markdown(&comparisons, &floor, &by_gateways);
    let Some(page) = page else {
        println!("{measured}");
        return Ok(());
    };
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    std::fs::write(&page, replace(&text, &measured)?)?;
    std::fs::write(page.with_extension("svg"), svg(&comparisons))?;
    Ok(())
}

fn setup(hosts: usize) -> Setup {
    Setup {
        hosts,
        functions: 10_000,
        gateways: 2,
        utilisation: 0.5,
        cold_start: Duration::from_millis(100),
        idle_timeout: Duration::from_secs(60),
        warm_up: Duration::from_secs(300),
        measured: Duration::from_secs(600),
        seed: 1,
    }
}
