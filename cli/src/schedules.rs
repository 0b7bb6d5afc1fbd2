//! `samovar schedules`: every schedule in a line.

use clap::Args;
use jiff::Timestamp;
use samovar_model::api::{ScheduleList, ScheduleStatus};

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// List the schedules of all functions
#[derive(Debug, Args)]
#[command(after_help = "\
LAST is when the schedule was due last, OUTCOME how that job stands.

Examples:
  samovar schedules
  samovar schedules --json")]
pub(crate) struct SchedulesArgs {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &SchedulesArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let list: ScheduleList = Control::new(global)?.get("/v1/schedules").await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    if list.schedules.is_empty() {
        console.note("no schedules: a function has one with `schedule = [\"*/5 * * * *\"]` in its manifest");
        return Ok(());
    }
    for line in table(&list.schedules, Timestamp::now()).lines() {
        console.line(line)?;
    }
    Ok(())
}

fn table(schedules: &[ScheduleStatus], now: Timestamp) -> Table {
    let mut table = Table::new(&["FUNCTION", "CRON", "ZONE", "PATH", "LAST", "NEXT", "OUTCOME"]);
    for schedule in schedules {
        table.row([
            schedule.function.to_string(),
            schedule.cron.clone(),
            schedule.zone.clone(),
            schedule.path.clone(),
            schedule.last.map_or_else(|| "-".to_owned(), |last| human::ago(last, now)),
            schedule.next.map_or_else(|| "-".to_owned(), |next| human::until(next, now)),
            outcome(schedule),
        ]);
    }
    table
}

fn outcome(schedule: &ScheduleStatus) -> String {
    match (&schedule.last_job, schedule.last) {
        (Some(job), _) => match &job.outcome {
            Some(outcome) => format!("{}: {outcome}", job.state),
            None => job.state.to_string(),
        },
        (None, Some(_)) => "forgotten".to_owned(),
        (None, None) => "-".to_owned(),
    }
}
