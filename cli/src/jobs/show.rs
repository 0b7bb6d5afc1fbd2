//! `samovar jobs show`: one job, with its answer.

use clap::Args;
use jiff::Timestamp;
use samovar_model::api::JobDetail;
use samovar_model::{Job, JobId};

use crate::args::{Format, Global};
use crate::console::{Console, Paint};
use crate::control::Control;
use crate::human;

/// Show a job and its answer
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar jobs show 5f0c6a3e9b7d4c1f8a2e6b9d0c4f7a31
  samovar jobs show 5f0c6a3e9b7d4c1f8a2e6b9d0c4f7a31 --json")]
pub(crate) struct ShowArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: JobId,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(args: &ShowArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let detail: JobDetail = Control::new(global)?.get(&format!("/v1/jobs/{}", args.id)).await?;
    if args.format.json {
        return Ok(console.json(&detail)?);
    }
    let id = console.paint(Paint::Bold, detail.job.id);
    console.line(id)?;
    let mut rows = rows(&detail.job, Timestamp::now());
    rows.extend(detail.answer_headers.iter().map(|(name, value)| ("answer", format!("{name}: {value}"))));
    for (key, value) in rows {
        console.line(format_args!("  {key:8}  {value}"))?;
    }
    if let Some(text) = &detail.answer_text {
        console.line(format_args!("\n{}", text.trim_end()))?;
    }
    Ok(())
}

fn rows(job: &Job, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("function", job.function.to_string()),
        ("request", format!("{} {}", job.method, job.target)),
        ("state", format!("{}, {}", job.state, attempts(job.attempts))),
        ("created", format!("{} ({})", job.created, human::ago(job.created, now))),
    ];
    rows.extend(job.schedule.iter().map(|schedule| ("schedule", schedule.clone())));
    rows.extend(job.started.map(|started| ("started", human::ago(started, now))));
    rows.extend(job.next_attempt.map(|next| ("next", human::until(next, now))));
    rows.extend(job.finished.map(|finished| ("finished", format!("{finished} ({})", human::ago(finished, now)))));
    rows.extend(job.outcome.iter().map(|outcome| ("outcome", outcome.clone())));
    rows.extend(job.answer.as_ref().map(|answer| {
        let kept = if answer.kept { "" } else { ", too large to be kept" };
        ("answer", format!("{}, {}{kept}", answer.status, human::size(answer.body_bytes)))
    }));
    rows
}

fn attempts(count: u32) -> String {
    match count {
        0 => "not tried yet".to_owned(),
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    }
}
