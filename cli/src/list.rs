//! `samovar list`: every function in a line.

use clap::Args;
use jiff::Timestamp;
use samovar_model::api::{FunctionList, FunctionSummary};

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// List the functions
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
Examples:
  samovar list
  samovar list --json"
)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &ListArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let list: FunctionList = Control::new(global)?.get("/v1/functions").await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    if list.functions.is_empty() {
        console.note("no functions yet: `samovar new hello` and `samovar deploy hello` make the first");
        return Ok(());
    }
    for line in table(&list.functions, Timestamp::now()).lines() {
        console.line(line)?;
    }
    Ok(())
}

fn table(functions: &[FunctionSummary], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAME", "REVISION", "DEPLOYED", "SIZE", "KIND", "URL"]);
    for function in functions {
        table.row([
            function.name.to_string(),
            function.revision.to_string(),
            human::ago(function.created, now),
            human::size(function.size_bytes),
            function.kind.to_string(),
            function.urls.first().cloned().unwrap_or_default(),
        ]);
    }
    table
}
