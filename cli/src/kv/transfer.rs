//! `samovar kv export` and `import`: a bucket as JSON lines.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use futures_util::TryStreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use samovar_model::BucketId;
use samovar_model::api::Imported;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::place::{bucket, encoded};
use crate::args::Format;
use crate::client::Body;
use crate::console::Console;
use crate::control::Control;

/// Write all values of a bucket as JSON lines
#[derive(Debug, Args)]
#[command(after_help = "\
Each line has the key, the value as `text` or, where it is no text, as `base64`, and `expires` where it goes at some time.
What functions write meanwhile may be in it or not.

Examples:
  samovar kv export shop/sessions > sessions.jsonl
  samovar kv export shop/carts --prefix user/7/ | jq -r .key")]
pub(super) struct ExportArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Write to a file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn export(args: &ExportArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let path = format!("{}/export?prefix={}", bucket(&args.bucket), encoded(&args.prefix));
    let mut body = control.stream(&path).await?;
    let created = |file: &Path| std::fs::File::create(file).with_context(|| format!("cannot write {}", file.display()));
    let mut file = args.output.as_deref().map(created).transpose()?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| control.broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        match &mut file {
            Some(file) => file.write_all(&data).context("cannot write the export")?,
            None => console.raw(&data)?,
        }
    }
    Ok(())
}

/// Write values from the lines of an export
#[derive(Debug, Args)]
#[command(after_help = "\
Keys that are there are written over; others stay. A value that has a time to go keeps it, and is left out when it is past;
others get the bucket's time to live. When a line cannot be taken the import ends there, and says which line it was.

Examples:
  samovar kv import shop/sessions sessions.jsonl
  samovar kv export shop/carts | samovar kv import trial/carts")]
pub(super) struct ImportArgs {
    /// The bucket: FUNCTION/NAME, or NAME where it is shared; a function must be granted it
    #[arg(value_name = "BUCKET")]
    bucket: BucketId,
    /// The file [default: stdin]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn import(args: &ImportArgs, control: &Control, console: &mut Console) -> anyhow::Result<()> {
    let lines = match &args.file {
        Some(file) if file.as_os_str() != "-" => {
            let opened =
                tokio::fs::File::open(file).await.with_context(|| format!("cannot read {}", file.display()))?;
            body(opened)
        }
        _ => body(tokio::io::stdin()),
    };
    let imported: Imported = control.send_lines(&format!("{}/import", bucket(&args.bucket)), lines).await?;
    if args.format.json {
        return Ok(console.json(&imported)?);
    }
    let expired = match imported.expired {
        0 => String::new(),
        expired => format!(", {expired} left out that are past their time"),
    };
    Ok(console.line(format_args!("{}: {} values imported{expired}", args.bucket, imported.values))?)
}

fn body(from: impl AsyncRead + Send + 'static) -> Body {
    let pieces = ReaderStream::new(from).map_ok(Frame::data);
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}
