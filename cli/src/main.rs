//! The `samovar` command. `up` runs the platform in this process; `host`, `gateway` and `control` are processes of a cluster;
//! every other command is a client of one of these or works on a project's files.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to stdout; errors, progress and notes go to stderr.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error should stop there"))]

mod args;
mod build;
mod client;
mod cluster;
mod completions;
mod config;
mod console;
mod control;
mod delete;
mod deploy;
mod docs;
mod human;
mod invoke;
mod jobs;
mod kv;
mod list;
mod location;
mod logs;
mod new;
mod project;
mod revisions;
mod rollback;
mod schedules;
mod secret;
mod serve;
mod show;
mod stats;
mod table;
#[cfg(test)]
mod testing;
mod up;
mod upload;

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::console::Console;

/// What instances leave behind goes back to the system, whichever thread it was taken and given back on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A mistake in how the command was called that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut console = Console::standard();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(cli, &mut console)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has had enough: `samovar logs hello | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            console.error(&format!("{error:#}"));
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(cli: Cli, console: &mut Console) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Up(args) => up::run(args, global).await,
        Command::New(args) => new::run(&args, console),
        Command::Build(args) => build::run(&args, console),
        Command::Deploy(args) => deploy::run(&args, global, console).await,
        Command::List(args) => list::run(&args, global, console).await,
        Command::Show(args) => show::run(&args, global, console).await,
        Command::Config(args) => config::run(&args, global, console).await,
        Command::Revisions(args) => revisions::run(&args, global, console).await,
        Command::Rollback(args) => rollback::run(&args, global, console).await,
        Command::Delete(args) => delete::run(&args, global, console).await,
        Command::Invoke(args) => invoke::run(&args, global, console).await,
        Command::Jobs(args) => jobs::run(&args, global, console).await,
        Command::Schedules(args) => schedules::run(&args, global, console).await,
        Command::Logs(args) => logs::run(&args, global, console).await,
        Command::Stats(args) => stats::run(&args, global, console).await,
        Command::Kv(args) => kv::run(&args, global, console).await,
        Command::Secret(args) => secret::run(&args, global, console).await,
        Command::Host(args) => cluster::host::run(args, global).await,
        Command::Gateway(args) => cluster::gateway::run(args, global).await,
        Command::Control(args) => cluster::control::run(args, global).await,
        Command::Hosts(args) => cluster::hosts::run(&args, global, console).await,
        Command::Drain(args) => cluster::drain::drain(&args, global, console).await,
        Command::Undrain(args) => cluster::drain::undrain(&args, global, console).await,
        Command::Completions(args) => completions::run(args, console),
        Command::Docs(_) => docs::run(console),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
