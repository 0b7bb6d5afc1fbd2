//! `samovar jobs retry`: has jobs tried again.

use clap::Args;
use samovar_model::JobId;

use crate::args::Global;
use crate::console::Console;
use crate::control::Control;

/// Try dead or waiting jobs again, at once
///
/// A job that is retried has all its attempts and all its time before it again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar jobs retry 5f0c6a3e9b7d4c1f8a2e6b9d0c4f7a31")]
pub(crate) struct RetryArgs {
    /// The jobs' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<JobId>,
}

pub(super) async fn run(args: &RetryArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    for id in &args.ids {
        control.ask(&format!("/v1/jobs/{id}/retry")).await?;
        console.line(format_args!("{id}: queued"))?;
    }
    Ok(())
}
