//! `samovar hosts`: every host of a cluster in a line.

use clap::Args;
use jiff::Timestamp;
use samovar_model::FunctionName;
use samovar_model::api::{HostList, HostSummary};

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// Functions that are named in a line; the others are counted.
const NAMED: usize = 4;

/// List the hosts of a cluster
#[derive(Debug, Args)]
#[command(after_help = "\
STATE is ready, draining (finishes what it has), suspect (not heard of for some time) or gone (its lease is over).
FLIGHT, BUSY and IDLE are invocations and instances as the host told last, some seconds ago; WARM are functions whose code it
has loaded.

Examples:
  samovar hosts
  samovar hosts --json")]
pub(crate) struct HostsArgs {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &HostsArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let list: HostList = Control::new(global)?.get("/v1/hosts").await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    if list.hosts.is_empty() {
        console.note("no hosts yet: `samovar host --join` on a machine makes it one");
        return Ok(());
    }
    for line in table(&list.hosts, Timestamp::now()).lines() {
        console.line(line)?;
    }
    Ok(())
}

fn table(hosts: &[HostSummary], now: Timestamp) -> Table {
    let headings = ["NAME", "STATE", "ADDRESS", "VERSION", "STARTED", "FLIGHT", "BUSY", "IDLE", "MAX", "WARM"];
    let mut table = Table::new(&headings);
    for host in hosts {
        table.row([
            host.name.to_string(),
            host.state.to_string(),
            host.address.clone(),
            host.version.clone(),
            human::ago(host.started, now),
            host.in_flight.to_string(),
            host.busy.to_string(),
            host.idle.to_string(),
            host.max_instances.to_string(),
            warm(&host.warm),
        ]);
    }
    table
}

/// `a, b, c, d and 3 more`.
fn warm(functions: &[FunctionName]) -> String {
    let named = functions.iter().take(NAMED).map(FunctionName::as_str).collect::<Vec<_>>().join(", ");
    match functions.len() {
        0 => "-".to_owned(),
        count if count > NAMED => format!("{named} and {} more", count - NAMED),
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_has_much_names_some() {
        let names: Vec<FunctionName> =
            ["a", "b", "c", "d", "e", "f"].iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(warm(&[]), "-");
        assert_eq!(warm(&names[..4]), "a, b, c, d");
        assert_eq!(warm(&names), "a, b, c, d and 2 more");
    }
}
