//! `samovar secret`: set, list and remove secrets. None of it shows a value.

mod value;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use samovar_model::SecretName;
use samovar_model::api::{KeyState, Resealed, SecretList, SecretSummary};

use crate::Usage;
use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;
use value::Source;

/// Set, list and remove what functions may know and nobody else
///
/// A secret is stored encrypted. A function reads those that its manifest names, as in `secrets = ["STRIPE_KEY"]`, through
/// `wasi:config`, at each read the newest value. There is no way to read one back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar secret set STRIPE_KEY
  samovar secret list")]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    Set(SetArgs),
    List(ListArgs),
    Remove(RemoveArgs),
    Reseal(ResealArgs),
}

/// Set a secret
///
/// The value is asked for without showing it, or read from standard input, from which one newline at the end is taken off, or
/// from a file, which is taken as it is. It is text in UTF-8, 64 KiB at most. Functions that are granted it read the new value at
/// their next read, without a deploy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar secret set STRIPE_KEY                          asks for it
  pass show stripe | samovar secret set STRIPE_KEY
  samovar secret set TLS_KEY --file tls.pem")]
struct SetArgs {
    /// Its name: letters, digits, `-` and `_`, beginning with a letter
    #[arg(value_name = "NAME")]
    name: String,
    /// Where a value would stand; only there to be refused.
    #[arg(hide = true)]
    in_plain_sight: Vec<String>,
    /// Read the value from this file
    #[arg(long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// List the secrets: names, and who is granted them
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
KEY says what a secret is encrypted with: `current` is the first key, `older` another one that the platform has, `missing` one
that it has not got.

Examples:
  samovar secret list
  samovar secret list --json"
)]
struct ListArgs {
    #[command(flatten)]
    format: Format,
}

/// Remove a secret
#[derive(Debug, Args)]
#[command(
    visible_alias = "rm",
    after_help = "\
Functions that are granted it are told at their next read that it is not set. Without --yes it asks first; where nobody can be
asked it refuses.

Examples:
  samovar secret remove STRIPE_KEY
  samovar secret remove STRIPE_KEY --yes"
)]
struct RemoveArgs {
    /// The secret
    #[arg(value_name = "NAME")]
    name: SecretName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    format: Format,
}

/// Encrypt all secrets with the first key, so that an older one can go
#[derive(Debug, Args)]
#[command(after_help = "\
Values stay as they are. How a key is replaced is in docs/secrets.md.

Examples:
  samovar secret reseal")]
struct ResealArgs {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &SecretArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    match &args.command {
        SecretCommand::Set(args) => set(args, global, console).await,
        SecretCommand::List(args) => list(args, global, console).await,
        SecretCommand::Remove(args) => remove(args, global, console).await,
        SecretCommand::Reseal(args) => reseal(args, global, console).await,
    }
}

async fn set(args: &SetArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    if !args.in_plain_sight.is_empty() || args.name.contains('=') {
        let name = args.name.split('=').next().unwrap_or_default();
        return Err(Usage(format!(
            "a secret's value has no place on the command line, where the shell's history and every user of this machine can \
             see it: `samovar secret set {name}` asks for it, or reads it from standard input or with --file; if this one \
             matters, replace it where it comes from"
        ))
        .into());
    }
    let name: SecretName =
        args.name.parse().map_err(|error: samovar_model::SecretNameError| Usage(error.to_string()))?;
    let control = Control::new(global)?;
    // Asked first, so that a wrong address or token is told before somebody types the value.
    control.info().await?;
    let source = Source::find(args.file.as_deref());
    let value = source.read(&name, console).await?;
    let set: SecretSummary = control.put(&format!("/v1/secrets/{name}"), value.expose().as_bytes().to_vec()).await?;
    if args.format.json {
        return Ok(console.json(&set)?);
    }
    console.line(format_args!("{name}: version {}", set.version))?;
    if set.granted_to.is_empty() {
        console.note(format_args!("no function is granted it: `secrets = [\"{name}\"]` in samovar.toml does that"));
    }
    Ok(())
}

async fn list(args: &ListArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let list: SecretList = Control::new(global)?.get("/v1/secrets").await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    if list.secrets.is_empty() {
        console.note("no secrets yet: `samovar secret set NAME` sets one");
        return Ok(());
    }
    for line in table(&list.secrets, Timestamp::now()).lines() {
        console.line(line)?;
    }
    let has = |state| list.secrets.iter().any(|secret| secret.key == state);
    if has(KeyState::Missing) {
        console.warning("the platform cannot decrypt those whose key is missing: give it the key, or set them again");
    }
    if has(KeyState::Older) {
        console.note("`samovar secret reseal` encrypts those of an older key with the current one");
    }
    Ok(())
}

fn table(secrets: &[SecretSummary], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAME", "VERSION", "SET", "KEY", "GRANTED TO"]);
    for secret in secrets {
        table.row([
            secret.name.to_string(),
            secret.version.to_string(),
            human::ago(secret.set, now),
            secret.key.to_string(),
            granted(secret),
        ]);
    }
    table
}

fn granted(secret: &SecretSummary) -> String {
    secret.granted_to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn remove(args: &RemoveArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let name = &args.name;
    let control = Control::new(global)?;
    let list: SecretList = control.get("/v1/secrets").await?;
    if let Some(secret) = list.secrets.iter().find(|secret| secret.name == *name) {
        if !secret.granted_to.is_empty() {
            console.warning(format_args!("`{name}` is granted to {}, which cannot read it then", granted(secret)));
        }
        if !args.yes {
            if !console.interactive {
                let text = format!("nobody can be asked here: give --yes to remove `{name}` without asking");
                return Err(Usage(text).into());
            }
            if !console.confirm(&format!("remove secret `{name}`?"))? {
                anyhow::bail!("nothing was removed");
            }
        }
    }
    control.delete(&format!("/v1/secrets/{name}")).await?;
    if args.format.json {
        return Ok(console.json(&serde_json::json!({ "removed": name }))?);
    }
    Ok(console.line(format_args!("{name}: removed"))?)
}

async fn reseal(args: &ResealArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let Resealed { resealed } = Control::new(global)?.post("/v1/reseal", &serde_json::json!({})).await?;
    if args.format.json {
        return Ok(console.json(&Resealed { resealed })?);
    }
    for name in &resealed {
        console.line(format_args!("{name}: encrypted with the current key"))?;
    }
    if resealed.is_empty() {
        console.note("every secret is encrypted with the current key");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
