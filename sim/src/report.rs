//! What came out, as Markdown: the page `docs/cluster-simulation.md` between its marks.

use std::fmt::Write as _;
use std::time::Duration;

use samovar_gateway::balance::Policy;

use crate::chart::{Group, chart};
use crate::run::{Findings, Setup};

/// Where the page's written text ends and what is measured begins.
pub const BEGIN: &str = "<!-- begin: made by `make sim` -->\n";
/// Where what is measured ends.
pub const END: &str = "<!-- end: made by `make sim` -->\n";

/// How many times fewer cold starts than `p2c` and `round_robin` are aimed at.
const AIM: f64 = 5.0;

/// All policies on one cluster.
#[derive(Debug)]
pub struct Comparison {
    /// What was simulated.
    pub setup: Setup,
    /// One for each policy.
    pub findings: Vec<(Policy, Findings)>,
}

/// The page with what was measured in place of what was there.
///
/// # Errors
/// When the page has not got both marks.
pub fn replace(page: &str, measured: &str) -> anyhow::Result<String> {
    let missing = || anyhow::anyhow!("the page has not got the marks that `make sim` writes between");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}{measured}{END}{after}"))
}

/// The tables. `floor` is the same load on a single host: cold starts that no choice of a host can avoid.
/// `by_gateways` is `adaptive` on one cluster with more and more gateways.
pub fn markdown(comparisons: &[Comparison], floor: &Findings, by_gateways: &[(Setup, Findings)]) -> String {
    let mut out = String::new();
    let text = format_args!(
        "\n![Share of cold starts](cluster-simulation.svg)\n\nOn a single host, where there is nothing to choose, {:.2} % of \
         the invocations start cold: that is taken for the least \
         there can be.\n\n## The aim\n\nCold starts of `adaptive` are at most a fifth \
         of those of `p2c` and of `round_robin`, at no higher p99. \
         The last column but one is what a policy would have that makes no cold start but those of a single host.\n\n\
         | hosts | `p2c` over `adaptive` | `round_robin` over `adaptive` | p99 of `adaptive`, `p2c`, `round_robin` | `p2c` over \
         a single host | |\n| --: | --: | --: | --- | --: | --- |\n",
        floor.cold * 100.0
    );
    push(&mut out, text);
    for comparison in comparisons {
        aim(&mut out, comparison, floor);
    }
    for Comparison { setup, findings } in comparisons {
        let slots = findings.first().map_or(0, |(_, findings)| findings.slots);
        push(&mut out, format_args!("\n## {} hosts of {slots} slots\n\n", setup.hosts));
        out.push_str(
            "| policy | cold, % | max/mean load | wait, mean | p50 | p99 | p99.9 | queued, % | hosts per function | moved by a loss, % \
             | by an addition, % |\n| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
        );
        for (policy, findings) in findings {
            row(&mut out, *policy, findings);
        }
    }
    gateways(&mut out, by_gateways);
    out
}

fn aim(out: &mut String, Comparison { setup, findings }: &Comparison, floor: &Findings) {
    let of = |policy| findings.iter().find(|(other, _)| *other == policy).map(|(_, findings)| findings);
    let (Some(ours), Some(p2c), Some(robin)) = (of(Policy::Adaptive), of(Policy::P2c), of(Policy::RoundRobin)) else {
        return;
    };
    let times = |other: &Findings| other.cold / ours.cold;
    let quick = ours.wait_p99 <= p2c.wait_p99.min(robin.wait_p99);
    let verdict = if quick && times(p2c) >= AIM && times(robin) >= AIM {
        "reached"
    } else if p2c.cold / floor.cold < AIM {
        "**missed**: more than there is to win"
    } else {
        "**missed**"
    };
    push(
        out,
        format_args!(
            "| {} | {:.1} times | {:.1} times | {}, {}, {} | {:.1} times | {} |\n",
            setup.hosts,
            times(p2c),
            times(robin),
            wait(ours.wait_p99),
            wait(p2c.wait_p99),
            wait(robin.wait_p99),
            p2c.cold / floor.cold,
            verdict,
        ),
    );
}

fn gateways(out: &mut String, by_gateways: &[(Setup, Findings)]) {
    let hosts = by_gateways.first().map_or(0, |(setup, _)| setup.hosts);
    push(out, format_args!("\n## More gateways\n\n`adaptive` on {hosts} hosts, each gateway with its own view.\n\n"));
    out.push_str("| gateways | cold, % | max/mean load | p99 | p99.9 | queued, % | hosts per function |\n");
    out.push_str("| --: | --: | --: | --: | --: | --: | --: |\n");
    for (setup, findings) in by_gateways {
        push(
            out,
            format_args!(
                "| {} | {:.2} | {:.2} | {} | {} | {:.3} | {:.2} |\n",
                setup.gateways,
                findings.cold * 100.0,
                findings.imbalance,
                wait(findings.wait_p99),
                wait(findings.wait_p999),
                findings.queued * 100.0,
                findings.spread,
            ),
        );
    }
}

fn row(out: &mut String, policy: Policy, findings: &Findings) {
    push(
        out,
        format_args!(
            "| `{policy}` | {:.2} | {:.2} | {:.1} ms | {} | {} | {} | {:.3} | {:.2} | {:.2} | {:.2} |\n",
            findings.cold * 100.0,
            findings.imbalance,
            findings.wait_mean.as_secs_f64() * 1000.0,
            wait(findings.wait_p50),
            wait(findings.wait_p99),
            wait(findings.wait_p999),
            findings.queued * 100.0,
            findings.spread,
            findings.moved_by_loss * 100.0,
            findings.moved_by_addition * 100.0,
        ),
    );
}

/// The chart of cold starts.
pub fn svg(comparisons: &[Comparison]) -> String {
    let group = |Comparison { setup, findings }: &Comparison| Group {
        name: format!("{} hosts", setup.hosts),
        bars: findings.iter().map(|(policy, findings)| (policy.to_string(), findings.cold * 100.0)).collect(),
    };
    let groups: Vec<_> = comparisons.iter().map(group).collect();
    chart(
        "Share of cold starts",
        "per cent of invocations, simulated, logarithmic: less is better",
        &groups,
        Policy::Adaptive.name(),
    )
}

fn wait(wait: Duration) -> String {
    format!("{} ms", wait.as_millis())
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(replace(&page, "new\n").unwrap(), format!("a\n{BEGIN}new\n{END}b\n"));
        assert!(replace("a\n", "new\n").is_err());
    }
}
