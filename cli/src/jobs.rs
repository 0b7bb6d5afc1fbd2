//! `samovar jobs`: requests that are stored first and answered later.

mod list;
mod purge;
mod retry;
mod show;

use clap::{Args, Subcommand};

use crate::args::Global;
use crate::console::Console;

/// Look after requests that are answered later
///
/// A job is made by `samovar invoke --async`, by a caller who says `Prefer: respond-async`, or by a schedule.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  samovar jobs list
  samovar jobs show 5f0c6a3e9b7d4c1f8a2e6b9d0c4f7a31"
)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Retry(retry::RetryArgs),
    Purge(purge::PurgeArgs),
}

pub(crate) async fn run(args: &JobsArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    match &args.command {
        JobsCommand::List(args) => list::run(args, global, console).await,
        JobsCommand::Show(args) => show::run(args, global, console).await,
        JobsCommand::Retry(args) => retry::run(args, global, console).await,
        JobsCommand::Purge(args) => purge::run(args, global, console).await,
    }
}
