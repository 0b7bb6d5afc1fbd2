//! The hidden `samovar docs`: the command line's reference as Markdown, made out of the definitions that clap reads, so that
//! `docs/cli.md` cannot say anything else than `--help`.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Args, Command, CommandFactory as _};

use crate::args::Cli;
use crate::console::Console;

/// Print the command line's reference as Markdown
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct DocsArgs {}

const HEAD: &str = "\
# The command line

<!-- Made by `cargo run -p samovar-cli -- docs > docs/cli.md`; a test fails when it is out of date. -->

Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to stdout; errors, progress and notes go to stderr. Colour is used on
a terminal only, and not when `NO_COLOR` is set.
";

pub(crate) fn run(console: &mut Console) -> anyhow::Result<()> {
    Ok(console.raw(markdown().as_bytes())?)
}

fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = HEAD.to_owned();
    let commands: Vec<&Command> = root.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    out.push_str("\n| command | |\n| --- | --- |\n");
    for command in &commands {
        let name = command.get_name();
        write_to(&mut out, format_args!("| [`{name}`](#samovar-{name}) | {} |\n", text(command.get_about())));
    }
    out.push_str("\n## Options of every command\n\n");
    let is_own = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    options(&mut out, root.get_arguments().filter(is_own));
    for command in commands {
        describe(&mut out, command);
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            describe(&mut out, command);
        }
    }
    out
}

fn describe(out: &mut String, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let about = sentences(&text(command.get_long_about().or(command.get_about())));
    write_to(out, format_args!("\n## {}\n\n{about}\n\n```text\n{usage}\n```\n", spoken(command)));
    if let Some(alias) = command.get_visible_aliases().next() {
        let path = spoken(command);
        let parent = path.strip_suffix(command.get_name()).unwrap_or_default();
        write_to(out, format_args!("\nAlso `{parent}{alias}`.\n"));
    }
    let own = |arg: &&Arg| !arg.is_global_set() && arg.get_id() != "help" && !arg.is_hide_set();
    if command.get_arguments().any(|arg| own(&arg)) {
        out.push('\n');
        options(out, command.get_arguments().filter(own));
    }
    let after = text(command.get_after_help());
    let (prose, examples) = after.split_once("Examples:\n").unwrap_or((&after, ""));
    for block in prose.trim().split("\n\n").filter(|block| !block.is_empty()) {
        // Lines that are set off are a table for the terminal.
        let fence = if block.contains("\n  ") { "```text\n" } else { "" };
        let end = if fence.is_empty() { "" } else { "\n```" };
        write_to(out, format_args!("\n{fence}{block}{end}\n"));
    }
    if !examples.is_empty() {
        let examples: Vec<&str> = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        write_to(out, format_args!("\n```sh\n{}\n```\n", examples.join("\n").trim_end()));
    }
}

/// As it is typed: `samovar kv get`.
fn spoken(command: &Command) -> &str {
    command.get_bin_name().unwrap_or(command.get_name())
}

fn options<'a>(out: &mut String, args: impl Iterator<Item = &'a Arg>) {
    out.push_str("| option | |\n| --- | --- |\n");
    for arg in args {
        let mut names = Vec::new();
        names.extend(arg.get_short().map(|short| format!("-{short}")));
        names.extend(arg.get_long().map(|long| format!("--{long}")));
        let value = match arg.get_value_names() {
            Some(names) if arg.get_action().takes_values() => names.join(" "),
            _ => String::new(),
        };
        let mut name = names.join(", ");
        if !value.is_empty() {
            name = if name.is_empty() { value } else { format!("{name} {value}") };
        }
        let mut help = text(arg.get_help()).replace('\n', " ").replace('|', "\\|");
        let values: Vec<String> =
            arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !values.is_empty() && arg.get_action().takes_values() {
            write_to(&mut help, format_args!(" ({})", values.join(", ")));
        }
        if let [default] = arg.get_default_values()
            && arg.get_action().takes_values()
        {
            write_to(&mut help, format_args!(" [default: {}]", default.to_string_lossy()));
        }
        if let Some(variable) = arg.get_env() {
            write_to(&mut help, format_args!(" [env: {}]", variable.to_string_lossy()));
        }
        write_to(out, format_args!("| `{}` | {help} |\n", name.replace('|', "\\|")));
    }
}

/// Paragraphs that all end in a full stop; clap takes it from some.
fn sentences(text: &str) -> String {
    let ended = text.split("\n\n").map(|paragraph| format!("{}.", paragraph.trim_end().trim_end_matches('.')));
    ended.collect::<Vec<_>>().join("\n\n")
}

fn text(styled: Option<&StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_repository_is_what_the_command_line_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/cli.md is out of date: run `cargo run -p samovar-cli -- docs > docs/cli.md`"
        );
    }

    #[test]
    fn the_definitions_are_sound_and_every_command_says_how_it_is_used() {
        let mut root = Cli::command().term_width(100);
        root.clone().debug_assert();
        root.build();
        let visible = root.get_subcommands().filter(|command| !command.is_hide_set());
        let below = |command: &Command| {
            let inner = command.get_subcommands().filter(|command| command.get_name() != "help").cloned();
            [command.clone()].into_iter().chain(inner).collect::<Vec<_>>()
        };
        for command in visible.flat_map(below) {
            let name = spoken(&command).to_owned();
            let help = command.term_width(100).render_long_help().to_string();
            assert!(help.contains("Examples:\n  samovar"), "`{name} --help` has no example");
            let file = name.trim_start_matches("samovar ").replace(' ', "-");
            insta::assert_snapshot!(format!("help-{file}"), help);
        }
        insta::assert_snapshot!("help", root.render_long_help().to_string());
    }
}
