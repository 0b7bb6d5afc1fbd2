//! `samovar kv get`, `put` and `delete`: one value.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use samovar_model::{BucketId, MAX_KEY_BYTES, MAX_VALUE_BYTES};

use super::place;
use crate::Usage;
use crate::console::Console;
use crate::control::Control;

/// Reads a key. An empty one would be another path of the control API, and its refusal would speak of that.
fn key(text: &str) -> Result<String, String> {
    match text.len() {
        1..=MAX_KEY_BYTES => Ok(text.to_owned()),
        bytes => Err(format!("a key of {bytes} bytes: it must have 1 to {MAX_KEY_BYTES}")),
    }
}

/// Print a value
#[derive(Debug, Args)]
#[command(after_help = "\
The value's bytes are printed as they are, without a line feed behind them.

Examples:
  samovar kv get shop/sessions ab12
  samovar kv get shop/pictures logo.png -o logo.png")]
pub(super) struct GetArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// The key
    #[arg(value_name = "KEY", value_parser = key)]
    key: String,
    /// Write the value to a file instead
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn get(args: &GetArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let value = control.bytes(&place::value(&args.bucket, &args.key)).await?;
    match &args.output {
        Some(file) => std::fs::write(file, value).with_context(|| format!("cannot write {}", file.display())),
        None => Ok(console.raw(&value)?),
    }
}

/// Write a value
#[derive(Debug, Args)]
#[command(after_help = "\
The value is the argument as it is, or a file's bytes, or stdin's where neither is given. It is on disk when the command ends.
The bucket's rules count: its time to live begins, and a full bucket refuses.

Examples:
  samovar kv put shop/flags new-checkout on
  samovar kv put shop/pictures logo.png --file logo.png
  date | samovar kv put shop/flags checked")]
pub(super) struct PutArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// The key: 1 to 256 bytes
    #[arg(value_name = "KEY", value_parser = key)]
    key: String,
    /// The value, 1 MiB at most
    #[arg(value_name = "VALUE", conflicts_with = "file")]
    value: Option<String>,
    /// Take the value from a file; `-` is stdin
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn put(args: &PutArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let value = match (&args.value, &args.file) {
        (Some(value), _) => value.clone().into_bytes(),
        (None, Some(file)) if file.as_os_str() != "-" => {
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, None) if console.interactive => {
            return Err(Usage("give a VALUE, or --file, or pipe the value into the command".to_owned()).into());
        }
        (None, _) => stdin()?,
    };
    if value.len() > MAX_VALUE_BYTES {
        anyhow::bail!("key `{}`: a value of {} bytes, {MAX_VALUE_BYTES} at most", args.key, value.len());
    }
    Ok(control.put_bytes(&place::value(&args.bucket, &args.key), value).await?)
}

fn stdin() -> anyhow::Result<Vec<u8>> {
    let (mut value, most) = (Vec::new(), MAX_VALUE_BYTES as u64 + 1);
    std::io::stdin().lock().take(most).read_to_end(&mut value).context("cannot read stdin")?;
    if value.len() > MAX_VALUE_BYTES {
        anyhow::bail!("stdin has more than {MAX_VALUE_BYTES} bytes, the most that a value can have");
    }
    Ok(value)
}

/// Delete keys of a bucket
#[derive(Debug, Args)]
#[command(
    visible_alias = "rm",
    after_help = "\
A key that is not there is no error.

Examples:
  samovar kv delete shop/sessions ab12
  samovar kv delete shop/sessions ab12 cd34"
)]
pub(super) struct DeleteArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// The keys
    #[arg(value_name = "KEY", required = true, value_parser = key)]
    keys: Vec<String>,
}

pub(super) async fn delete(args: &DeleteArgs, control: &Control, _: &mut Console) -> anyhow::Result<()> {
    for key in &args.keys {
        control.delete(&place::value(&args.bucket, key)).await?;
    }
    Ok(())
}
