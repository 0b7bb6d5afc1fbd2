//! What a serving process logs, to standard error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::Args;
use tracing_subscriber::EnvFilter;

/// How a serving process logs.
#[derive(Debug, Args)]
pub(crate) struct LogOptions {
    /// What is logged, as in `debug` or `info,samovar_gateway=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "SAMOVAR_LOG", hide_env_values = true)]
    log: String,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
}

impl LogOptions {
    /// Begins to log.
    pub(crate) fn begin(&self) -> anyhow::Result<()> {
        // The client of NATS tells of every attempt to connect; what matters of that is told in `cluster`.
        let quiet = if self.log.contains("async_nats") { "" } else { ",async_nats=off" };
        let filter =
            EnvFilter::try_new(format!("{}{quiet}", self.log)).with_context(|| format!("--log {}", self.log))?;
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
        if self.log_format == "json" {
            format.json().init();
        } else {
            format.init();
        }
        Ok(())
    }
}
