//! `samovar delete`: a function and all its revisions go.

use clap::Args;
use samovar_model::FunctionName;

use crate::Usage;
use crate::args::{Format, Global};
use crate::console::Console;
use crate::control::Control;

/// Delete a function with all its revisions
#[derive(Debug, Args)]
#[command(after_help = "\
Requests that are running finish. What the function keeps in buckets stays: `samovar kv clear` empties one. Without --yes it asks first; where nobody can be asked it refuses.

Examples:
  samovar delete hello
  samovar delete hello --yes")]
pub(crate) struct DeleteArgs {
    /// The function
    #[arg(value_name = "NAME")]
    name: FunctionName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &DeleteArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let name = &args.name;
    if !args.yes {
        if !console.interactive {
            return Err(Usage(format!("nobody can be asked here: give --yes to delete `{name}` without asking")).into());
        }
        if !console.confirm(&format!("delete function `{name}` with all its revisions?"))? {
            anyhow::bail!("nothing was deleted");
        }
    }
    Control::new(global)?.delete(&format!("/v1/functions/{name}")).await?;
    if args.format.json {
        return Ok(console.json(&serde_json::json!({ "deleted": name }))?);
    }
    Ok(console.line(format_args!("{name}: deleted"))?)
}
