//! `samovar jobs purge`: forgets jobs that have come to their end.

use clap::Args;
use samovar_model::api::Purged;
use samovar_model::{FunctionName, JobState, Span};
use serde_json::json;

use crate::args::Global;
use crate::console::Console;
use crate::control::Control;

/// Forget jobs that are done or dead
///
/// Their answers and idempotency keys are forgotten with them. Done jobs go by themselves after 24 hours, dead ones after 7 days.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar jobs purge --state done
  samovar jobs purge report --state dead --older-than 1d")]
pub(crate) struct PurgeArgs {
    /// Only this function's jobs
    #[arg(value_name = "NAME")]
    function: Option<FunctionName>,
    /// Only jobs in this state: done or dead
    #[arg(long, value_name = "STATE")]
    state: Option<JobState>,
    /// Only jobs that came to their end longer ago than this: 30m, 2h, 1d
    #[arg(long, value_name = "SPAN")]
    older_than: Option<Span>,
}

pub(super) async fn run(args: &PurgeArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let mut query = Vec::new();
    query.extend(args.function.as_ref().map(|name| format!("function={name}")));
    query.extend(args.state.map(|state| format!("state={state}")));
    query.extend(args.older_than.map(|age| format!("older_than={age}")));
    let path = format!("/v1/jobs/purge?{}", query.join("&"));
    let Purged { purged } = Control::new(global)?.post(&path, &json!({})).await?;
    console.line(format_args!("{purged} jobs forgotten"))?;
    Ok(())
}
