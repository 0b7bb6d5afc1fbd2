//! `samovar config`: what a function reads, looked at and changed without a build.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use samovar_model::api::{Amend, Deployed};
use samovar_model::{FunctionName, Settings};
use serde_json::json;

use crate::Usage;
use crate::args::{Format, Global};
use crate::console::{Console, Paint};
use crate::control::Control;

/// See and change a function's configuration and environment, without a build
///
/// A change makes a new revision of the same component, which can be rolled back like any other. It lasts until the next deploy:
/// that one brings what stands in samovar.toml, and replaces all of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar config list shop
  samovar config set shop vat=19 currency=EUR
  samovar config set shop --env LOG=debug
  samovar config unset shop currency")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    List(ListArgs),
    Set(SetArgs),
    Unset(UnsetArgs),
}

/// Show the configuration and the environment of a function
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar config list shop
  samovar config list shop --json")]
struct ListArgs {
    /// The function
    #[arg(value_name = "FUNCTION")]
    function: FunctionName,
    #[command(flatten)]
    format: Format,
}

/// Set keys of the configuration, or environment variables
#[derive(Debug, Args)]
#[command(after_help = "\
All of them are set at once, in one new revision. What others change at the same time is kept.
The next deploy replaces them with what stands in samovar.toml.

Examples:
  samovar config set shop vat=19 currency=EUR
  samovar config set shop --env LOG=debug")]
struct SetArgs {
    /// The function
    #[arg(value_name = "FUNCTION")]
    function: FunctionName,
    /// What to set; a value may be empty and may contain `=`
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
    pairs: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

/// Remove keys of the configuration, or environment variables
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar config unset shop currency
  samovar config unset shop --env LOG")]
struct UnsetArgs {
    /// The function
    #[arg(value_name = "FUNCTION")]
    function: FunctionName,
    /// What to remove
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Environment variables, not keys of the configuration
    #[arg(long)]
    env: bool,
    /// In a cluster: wait until every gateway and host goes by it; on one machine that is always so
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: Format,
}

impl How {
    /// The values that are meant.
    fn values<'a>(&self, settings: &'a Settings) -> &'a BTreeMap<String, String> {
        if self.env { &settings.env } else { &settings.config }
    }

    fn amend(&self, changes: BTreeMap<String, Option<String>>) -> Amend {
        let wait = self.wait;
        match self.env {
            true => Amend { env: changes, wait, ..Amend::default() },
            false => Amend { config: changes, wait, ..Amend::default() },
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("there is no key before the `=`".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("write KEY=VALUE".to_owned()),
    }
}

pub(crate) async fn run(args: &ConfigArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    match &args.command {
        ConfigCommand::List(args) => list(args, global, console).await,
        ConfigCommand::Set(args) => {
            let mut changes = BTreeMap::new();
            for (key, value) in &args.pairs {
                if changes.insert(key.clone(), Some(value.clone())).is_some() {
                    return Err(Usage(format!("`{key}` is given twice")).into());
                }
            }
            change(&args.function, changes, &args.how, global, console).await
        }
        ConfigCommand::Unset(args) => {
            let changes = args.keys.iter().map(|key| (key.clone(), None)).collect();
            change(&args.function, changes, &args.how, global, console).await
        }
    }
}

async fn list(args: &ListArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let function = Control::new(global)?.function(&args.function).await?;
    let Settings { config, env, .. } = &function.settings;
    if args.format.json {
        let revision = function.summary.revision;
        return Ok(console.json(&json!({ "revision": revision, "config": config, "env": env }))?);
    }
    let rows = config.iter().map(|row| ("config", row)).chain(env.iter().map(|row| ("env", row)));
    for (kind, (key, value)) in rows {
        let kind = console.paint(Paint::Dim, kind);
        console.line(format_args!("{kind} {key}={value}"))?;
    }
    if config.is_empty() && env.is_empty() {
        console.note(format_args!("function `{}` has neither configuration nor environment", args.function));
    }
    Ok(())
}

async fn change(
    function: &FunctionName,
    changes: BTreeMap<String, Option<String>>,
    how: &How,
    global: &Global,
    console: &mut Console,
) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    let before = control.function(function).await?;
    let deployed: Deployed =
        control.patch(&format!("/v1/functions/{function}/settings"), &how.amend(changes.clone())).await?;
    if how.format.json {
        console.json(&deployed)?;
    } else {
        print(&deployed, &told(&changes, how.values(&before.settings)), console)?;
    }
    for warning in &deployed.warnings {
        console.warning(warning);
    }
    if deployed.unrouted.is_empty() {
        return Ok(());
    }
    bail!("changed, but these have not said that they go by it: {}", deployed.unrouted.join(", "))
}

fn print(deployed: &Deployed, told: &[String], console: &mut Console) -> anyhow::Result<()> {
    let name = console.paint(Paint::Bold, &deployed.function.name);
    let revision = deployed.function.revision;
    let unchanged = if deployed.changed { "" } else { ", unchanged: there was nothing to change" };
    console.line(format_args!("{name}: revision {revision}{unchanged}"))?;
    for line in told {
        console.line(format_args!("  {line}"))?;
    }
    if deployed.changed {
        console.note("samovar.toml does not know of this: the next deploy replaces it with what stands there");
    }
    Ok(())
}

/// What becomes of each key, beside what it was a moment ago.
fn told(changes: &BTreeMap<String, Option<String>>, before: &BTreeMap<String, String>) -> Vec<String> {
    let line = |(key, after): (&String, &Option<String>)| match (before.get(key), after) {
        (Some(before), Some(after)) if before == after => format!("{key}={after}, as before"),
        (Some(before), Some(after)) => format!("{key}={after}, before: {before}"),
        (None, Some(after)) => format!("{key}={after}, new"),
        (Some(before), None) => format!("{key} removed, before: {before}"),
        (None, None) => format!("{key} was not set"),
    };
    changes.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_key_and_may_have_any_value() {
        assert_eq!(pair("a=b"), Ok(("a".to_owned(), "b".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }

    #[test]
    fn each_key_is_told_with_what_it_was() {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let before = owned(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let changes = [("a", Some("1")), ("b", Some("5")), ("c", None), ("d", Some("4")), ("e", None)];
        let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
        let told = told(&changes, &before);
        assert_eq!(told, ["a=1, as before", "b=5, before: 2", "c removed, before: 3", "d=4, new", "e was not set"]);
    }
}
