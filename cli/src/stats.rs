//! `samovar stats`: how functions have fared since the host started.

use std::time::Duration;

use clap::Args;
use samovar_model::api::{NamedStats, StatsList};
use samovar_model::{FunctionName, HostStats};

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// How often `--watch` asks again.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Show invocations, faults, latency and instances
#[derive(Debug, Args)]
#[command(after_help = "\
Counted since the platform was started. P50 and P99 are times from admission to the end of the answer. BUSY and IDLE are
instances now, COLD invocations that had to make theirs, QUEUED invocations that wait for one now.

Examples:
  samovar stats
  samovar stats hello --watch")]
pub(crate) struct StatsArgs {
    /// The function [default: all]
    #[arg(value_name = "NAME")]
    name: Option<FunctionName>,
    /// Show them again every 2 seconds, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &StatsArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    loop {
        let list = fetch(&control, args.name.as_ref()).await?;
        show(args, &list, console)?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn fetch(control: &Control, name: Option<&FunctionName>) -> anyhow::Result<StatsList> {
    Ok(match name {
        Some(name) => {
            StatsList { functions: vec![control.get(&format!("/v1/functions/{name}/stats")).await?], host: None }
        }
        None => control.get("/v1/stats").await?,
    })
}

fn show(args: &StatsArgs, list: &StatsList, console: &mut Console) -> anyhow::Result<()> {
    if args.format.json {
        let written = if args.watch { console.json_line(list) } else { console.json(list) };
        return Ok(written?);
    }
    if args.watch && console.redrawable {
        // To the upper left corner, and clear the screen.
        console.raw(b"\x1b[H\x1b[2J")?;
    }
    if list.functions.is_empty() {
        console.note("no functions yet");
    } else {
        for line in table(&list.functions).lines() {
            console.line(line)?;
        }
    }
    if let Some(host) = &list.host {
        console.note(usage(host));
    }
    Ok(())
}

/// What the host has in use, in a line.
fn usage(host: &HostStats) -> String {
    format!(
        "host: {} of {} instances; memory {} of {}; code of {} components, {} of {}, {} loads, {} evictions",
        host.instances,
        host.max_instances,
        human::size(host.memory_bytes),
        human::size(host.memory_budget_bytes),
        host.components,
        human::size(host.code_bytes),
        human::size(host.code_budget_bytes),
        host.code_loads,
        host.code_evictions,
    )
}

fn table(functions: &[NamedStats]) -> Table {
    let mut table = Table::new(&["NAME", "INVOCATIONS", "P50", "P99", "BUSY", "IDLE", "COLD", "QUEUED", "FAULTS"]);
    let latency =
        |micros: Option<u64>| micros.map_or("-".to_owned(), |micros| human::span(Duration::from_micros(micros)));
    for NamedStats { name, stats } in functions {
        table.row([
            name.to_string(),
            stats.invocations.to_string(),
            latency(stats.p50_micros),
            latency(stats.p99_micros),
            stats.busy.to_string(),
            stats.idle.to_string(),
            stats.cold_starts.to_string(),
            stats.queued.to_string(),
            faults(&stats.faults),
        ]);
    }
    table
}

/// `0`, or `3 (deadline 1, trap 2)`.
fn faults(by_kind: &std::collections::BTreeMap<String, u64>) -> String {
    let kinds: Vec<String> = by_kind.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| format!("{kind} {n}")).collect();
    match by_kind.values().sum::<u64>() {
        0 => "0".to_owned(),
        sum => format!("{sum} ({})", kinds.join(", ")),
    }
}
