//! `samovar completions`: a script for the shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::console::Console;

/// Print a script that completes samovar's commands in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar completions bash > ~/.local/share/bash-completion/completions/samovar
  samovar completions zsh > ~/.zfunc/_samovar
  samovar completions fish > ~/.config/fish/completions/samovar.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: CompletionsArgs, console: &mut Console) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "samovar", &mut script);
    Ok(console.raw(&script)?)
}
