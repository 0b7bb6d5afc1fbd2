//! The command line as a whole: the options that every command has, and the list of commands. Each command's own options
//! stand in its file.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::cluster::{control, drain, gateway, host, hosts};
use crate::{
    build, completions, config, delete, deploy, docs, invoke, jobs, kv, list, logs, new, revisions, rollback,
    schedules, secret, show, stats, up,
};

/// Samovar keeps small sandboxed programs hot and serves them on demand
#[derive(Debug, Parser)]
#[command(
    name = "samovar",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  samovar up                         run the platform on this machine
  samovar new hello                  start a function
  samovar deploy hello               build it and put it to work
  curl http://127.0.0.1:8080/hello   call it

`samovar COMMAND --help` says more about each command, with examples."
)]
pub(crate) struct Cli {
    /// What every command has.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the platform is. Only the commands that speak to it look at these.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Platform")]
pub(crate) struct Global {
    /// The control API's address [default: where `samovar up` on this machine listens, else http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "URL", env = "SAMOVAR_CONTROL", hide_env_values = true)]
    pub(crate) control: Option<String>,
    /// The control API's token [default: found in the data directory]
    #[arg(long, global = true, value_name = "TOKEN", env = "SAMOVAR_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The data directory of `samovar up` [default: `.samovar` here or in a directory above, else
    /// $XDG_STATE_HOME/samovar]
    #[arg(long, global = true, value_name = "DIR", env = "SAMOVAR_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::UpArgs),
    New(new::NewArgs),
    Build(build::BuildArgs),
    Deploy(deploy::DeployArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Config(config::ConfigArgs),
    Revisions(revisions::RevisionsArgs),
    Rollback(rollback::RollbackArgs),
    Delete(delete::DeleteArgs),
    Invoke(invoke::InvokeArgs),
    Jobs(jobs::JobsArgs),
    Schedules(schedules::SchedulesArgs),
    Logs(logs::LogsArgs),
    Stats(stats::StatsArgs),
    Kv(kv::KvArgs),
    Secret(secret::SecretArgs),
    Host(host::HostArgs),
    Gateway(gateway::GatewayArgs),
    Control(control::ControlArgs),
    Hosts(hosts::HostsArgs),
    Drain(drain::DrainArgs),
    Undrain(drain::UndrainArgs),
    Completions(completions::CompletionsArgs),
    Docs(docs::DocsArgs),
}

/// For commands that print data.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Format {
    /// Print JSON instead of text for people
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) json: bool,
}
