//! `samovar jobs list`: a job in a line.

use clap::Args;
use jiff::Timestamp;
use samovar_model::api::JobList;
use samovar_model::{FunctionName, Job, JobState};

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// List jobs, newest first
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
STATE is queued, running, waiting (it has failed, and will be tried again), done, or dead (a dead letter).

Examples:
  samovar jobs list
  samovar jobs list --state dead
  samovar jobs list report --limit 1000 --json"
)]
pub(crate) struct ListArgs {
    /// Only this function's jobs
    #[arg(value_name = "NAME")]
    function: Option<FunctionName>,
    /// Only jobs in this state: queued, running, waiting, done or dead
    #[arg(long, value_name = "STATE")]
    state: Option<JobState>,
    /// How many jobs at most, up to 10000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(args: &ListArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let function = args.function.as_ref().map(|name| format!("&function={name}")).unwrap_or_default();
    let state = args.state.map(|state| format!("&state={state}")).unwrap_or_default();
    let path = format!("/v1/jobs?limit={}{function}{state}", args.limit);
    let list: JobList = Control::new(global)?.get(&path).await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    if list.jobs.is_empty() {
        let asked_for_some = args.function.is_some() || args.state.is_some();
        console.note(if asked_for_some { "no such jobs" } else { "no jobs: `samovar invoke --async` makes one" });
        return Ok(());
    }
    for line in table(&list.jobs, Timestamp::now()).lines() {
        console.line(line)?;
    }
    if list.more {
        console.note(format_args!("there are more: --limit {} shows more of them", args.limit.saturating_mul(10)));
    }
    Ok(())
}

fn table(jobs: &[Job], now: Timestamp) -> Table {
    let mut table = Table::new(&["ID", "FUNCTION", "STATE", "ATTEMPTS", "CREATED", "NEXT", "OUTCOME"]);
    for job in jobs {
        table.row([
            job.id.to_string(),
            job.function.to_string(),
            job.state.to_string(),
            job.attempts.to_string(),
            human::ago(job.created, now),
            job.next_attempt.map_or_else(|| "-".to_owned(), |next| human::until(next, now)),
            job.outcome.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}
