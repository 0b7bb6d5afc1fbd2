//! `samovar kv list` and `samovar kv clear`: a bucket as a whole.

use clap::Args;
use samovar_model::BucketId;
use samovar_model::api::KeyPage;

use super::place::{bucket, encoded};
use crate::Usage;
use crate::args::Format;
use crate::console::Console;
use crate::control::Control;

/// List the keys of a bucket
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
Keys come in the order of their bytes, one a line; with --json as one array.

Examples:
  samovar kv list shop/sessions
  samovar kv list shop/carts user/7/
  samovar kv list shop/carts --after user/7/last --limit 100"
)]
pub(super) struct ListArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// Only keys that begin with this
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only keys behind this one
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// So many keys at most [default: all of them]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    format: Format,
}

/// Keys that are asked for at once.
const PAGE: usize = 1000;

pub(super) async fn list(args: &ListArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let (mut after, mut left, mut all) = (args.after.clone(), args.limit.unwrap_or(usize::MAX), Vec::new());
    while left > 0 {
        let from = after.as_deref().map(|after| format!("&after={}", encoded(after))).unwrap_or_default();
        let query = format!("prefix={}&limit={}{from}", encoded(&args.prefix), left.min(PAGE));
        let page: KeyPage = control.get(&format!("{}/keys?{query}", bucket(&args.bucket))).await?;
        left = left.saturating_sub(page.keys.len());
        after = page.keys.last().cloned();
        if args.format.json {
            all.extend(page.keys);
        } else {
            for key in page.keys {
                console.line(key)?;
            }
        }
        if !page.more {
            break;
        }
    }
    if args.format.json {
        console.json(&all)?;
    }
    Ok(())
}

/// Delete all that a bucket holds
#[derive(Debug, Args)]
#[command(after_help = "\
Functions may go on writing to it. Without --yes it asks first; where nobody can be asked it refuses.

Examples:
  samovar kv clear shop/sessions
  samovar kv clear shop/sessions --yes")]
pub(super) struct ClearArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn clear(args: &ClearArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let name = &args.bucket;
    if !args.yes {
        if !console.interactive {
            return Err(Usage(format!("nobody can be asked here: give --yes to clear `{name}` without asking")).into());
        }
        if !console.confirm(&format!("delete all values of bucket `{name}`?"))? {
            anyhow::bail!("nothing was deleted");
        }
    }
    control.delete(&bucket(name)).await?;
    console.note(format_args!("{name}: cleared"));
    Ok(())
}
