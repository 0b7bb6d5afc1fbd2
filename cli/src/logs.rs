//! `samovar logs`: what a function wrote, and its crashes.

use anyhow::Context as _;
use bytes::BytesMut;
use clap::Args;
use http_body_util::BodyExt as _;
use samovar_model::{FunctionName, LogLine, LogStream, Span};

use crate::args::{Format, Global};
use crate::console::{Console, Paint};
use crate::control::Control;

/// Show what a function wrote to stdout and stderr, and its crashes
#[derive(Debug, Args)]
#[command(after_help = "\
Each line has its time, revision, instance, request and stream. With --json each is an object on a line of its own.

Examples:
  samovar logs hello
  samovar logs hello --since 10m
  samovar logs hello -f | grep payment")]
pub(crate) struct LogsArgs {
    /// The function
    #[arg(value_name = "NAME")]
    name: FunctionName,
    /// Go on with new lines as they come
    #[arg(long, short)]
    follow: bool,
    /// Only what is not older than this: 30s, 10m, 2h, 1d [default: everything that is kept]
    #[arg(long, value_name = "SPAN")]
    since: Option<Span>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &LogsArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let since = args.since.map(|since| format!("since={since}&")).unwrap_or_default();
    let path = format!("/v1/functions/{}/logs?{since}follow={}", args.name, args.follow);
    let control = Control::new(global)?;
    let mut body = control.stream(&path).await?;
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| control.broken(&error))?;
        if let Ok(data) = frame.into_data() {
            buffer.extend_from_slice(&data);
        }
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            print(&buffer.split_to(end + 1), args.format, console)?;
        }
    }
    print(&buffer, args.format, console)
}

fn print(json: &[u8], format: Format, console: &mut Console) -> anyhow::Result<()> {
    if json.trim_ascii().is_empty() {
        return Ok(());
    }
    let line: LogLine = serde_json::from_slice(json).context("the control API sent a log line that cannot be read")?;
    if format.json {
        return Ok(console.json_line(&line)?);
    }
    Ok(console.line(text(&line, console))?)
}

fn text(line: &LogLine, console: &Console) -> String {
    let (stream, paint) = match line.stream {
        LogStream::Stdout => ("out", Paint::Dim),
        LogStream::Stderr => ("err", Paint::Yellow),
        LogStream::Crash => ("crash", Paint::Red),
    };
    let request = line.request_id.as_deref().unwrap_or("-");
    let head = format!("{:.3} r{} #{} {request}", line.time, line.revision, line.instance);
    let head = console.paint(Paint::Dim, head);
    let stream = console.paint(paint, stream);
    // A crash has several lines: what follows the first is set off, so that one sees where the next entry begins.
    format!("{head} {stream} {}", line.text.replace('\n', "\n    "))
}
