//! `samovar rollback`: an older revision answers again.

use clap::Args;
use samovar_model::api::{FunctionSummary, Rollback};
use samovar_model::{FunctionName, RevisionNumber};

use crate::args::{Format, Global};
use crate::console::{Console, Paint};
use crate::control::Control;
use crate::deploy::distinct;

/// Let an older revision answer again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar rollback hello     the revision before the one that answers
  samovar rollback hello 3   this one")]
pub(crate) struct RollbackArgs {
    /// The function
    #[arg(value_name = "NAME")]
    name: FunctionName,
    /// The revision [default: the one before the one that answers]
    #[arg(value_name = "REVISION")]
    revision: Option<RevisionNumber>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &RollbackArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let path = format!("/v1/functions/{}/rollback", args.name);
    let function: FunctionSummary = Control::new(global)?.post(&path, &Rollback { revision: args.revision }).await?;
    if args.format.json {
        return Ok(console.json(&function)?);
    }
    let name = console.paint(Paint::Bold, &function.name);
    console.line(format_args!("{name}: revision {} answers now", function.revision))?;
    for url in distinct(&function.urls) {
        console.line(format_args!("  {url}"))?;
    }
    Ok(())
}
