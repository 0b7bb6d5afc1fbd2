//! `samovar kv`: the values that functions keep, looked at and changed from outside. A file for each group of subcommands.

mod keys;
mod place;
mod transfer;
mod values;

use clap::{Args, Subcommand};
use samovar_model::api::{BucketList, BucketSummary};

use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;
use crate::human;
use crate::table::Table;

/// Look at the values that functions keep, and change them
///
/// A bucket is named FUNCTION/NAME, or NAME where it is shared by functions; its rules stand in their manifests.
#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "\
Examples:
  samovar kv buckets
  samovar kv list shop/sessions
  samovar kv get shop/sessions ab12
  samovar kv export shop/sessions > sessions.jsonl"
)]
pub(crate) struct KvArgs {
    #[command(subcommand)]
    command: KvCommand,
}

#[derive(Debug, Subcommand)]
enum KvCommand {
    Buckets(BucketsArgs),
    List(keys::ListArgs),
    Get(values::GetArgs),
    Put(values::PutArgs),
    Delete(values::DeleteArgs),
    Clear(keys::ClearArgs),
    Export(transfer::ExportArgs),
    Import(transfer::ImportArgs),
}

/// List the buckets, with what they hold
#[derive(Debug, Args)]
#[command(after_help = "\
KEYS and SIZE count what has expired until it is swept, some seconds later. FUNCTIONS are those that are granted the bucket;
TTL, MAX and DURABILITY are its rules. A bucket that no function is granted any more keeps what it holds until it is cleared.

Examples:
  samovar kv buckets
  samovar kv buckets --json")]
struct BucketsArgs {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &KvArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    match &args.command {
        KvCommand::Buckets(args) => buckets(args, &control, console).await,
        KvCommand::List(args) => keys::list(args, &control, console).await,
        KvCommand::Get(args) => values::get(args, &control, console).await,
        KvCommand::Put(args) => values::put(args, &control, console).await,
        KvCommand::Delete(args) => values::delete(args, &control, console).await,
        KvCommand::Clear(args) => keys::clear(args, &control, console).await,
        KvCommand::Export(args) => transfer::export(args, &control, console).await,
        KvCommand::Import(args) => transfer::import(args, &control, console).await,
    }
}

async fn buckets(args: &BucketsArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let list: BucketList = control.get("/v1/kv").await?;
    if args.format.json {
        return Ok(console.json(&list)?);
    }
    if list.buckets.is_empty() {
        console.note("no buckets yet: `[function.NAME.kv]` in samovar.toml grants a function some");
        return Ok(());
    }
    for line in table(&list.buckets).lines() {
        console.line(line)?;
    }
    Ok(())
}

fn table(buckets: &[BucketSummary]) -> Table {
    let mut table = Table::new(&["BUCKET", "KEYS", "SIZE", "MAX", "TTL", "DURABILITY", "FUNCTIONS"]);
    for bucket in buckets {
        let rule =
            |of: fn(&samovar_model::api::BucketRules) -> String| bucket.rules.as_ref().map_or("-".to_owned(), of);
        let functions: Vec<&str> = bucket.functions.iter().map(|name| name.as_str()).collect();
        table.row([
            bucket.bucket.to_string(),
            bucket.keys.to_string(),
            human::size(bucket.bytes),
            rule(|rules| rules.max_bytes.to_string()),
            rule(|rules| rules.ttl.map_or("-".to_owned(), |ttl| ttl.to_string())),
            rule(|rules| rules.durability.to_string()),
            if functions.is_empty() { "none".to_owned() } else { functions.join(", ") },
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
