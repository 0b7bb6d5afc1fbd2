//! `samovar revisions`: what was deployed under one name.

use clap::Args;
use jiff::Timestamp;
use samovar_model::FunctionName;
use samovar_model::api::RevisionList;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// List a function's revisions, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
The last 10 are kept. The one that answers is marked with `*`.

Examples:
  samovar revisions hello
  samovar revisions hello --json")]
pub(crate) struct RevisionsArgs {
    /// The function
    #[arg(value_name = "NAME")]
    name: FunctionName,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &RevisionsArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let list: RevisionList = Control::new(global)?.get(&format!("/v1/functions/{}/revisions", args.name)).await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["REVISION", "DEPLOYED", "SIZE", "ARTIFACT"]);
    for revision in &list.revisions {
        table.row([
            format!("{}{}", revision.revision, if revision.current { " *" } else { "" }),
            human::ago(revision.created, now),
            human::size(revision.size_bytes),
            revision.artifact.short(),
        ]);
    }
    for line in table.lines() {
        console.line(line)?;
    }
    Ok(())
}
