//! `samovar logs`: what a function wrote, and its crashes.

use anyhow::Context as _;
use bytes::BytesMut;
use clap::Args;
use http_body_util::BodyExt as _;
use samovar_model::{FunctionName, LogLevel, LogLine, LogStream, Span};
use serde_json::{Map, Value};

use crate::args::{Format, Global};
use crate::console::{Console, Paint};
use crate::control::Control;

/// Show what a function wrote to stdout and stderr, and its crashes
#[derive(Debug, Args)]
#[command(after_help = "\
Each line has its time, revision, instance, request and stream; what was said through wasi:logging has its level and fields
in place of the stream. With --json each is an object on a line of its own.

With --level, a line without a level counts as info if it is from stdout, as warn if it is from stderr, and as critical if
it is a crash.

Examples:
  samovar logs hello
  samovar logs hello --since 10m
  samovar logs hello --level warn
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
    /// Only what matters this much, or more: trace, debug, info, warn, error, critical
    #[arg(long, value_name = "LEVEL")]
    level: Option<LogLevel>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &LogsArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let since = args.since.map(|since| format!("since={since}&")).unwrap_or_default();
    let level = args.level.map(|level| format!("level={level}&")).unwrap_or_default();
    let path = format!("/v1/functions/{}/logs?{since}{level}follow={}", args.name, args.follow);
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
    let (stream, paint) = match (line.stream, line.level) {
        (_, Some(level)) => (level.as_str(), level_paint(level)),
        (LogStream::Stdout, None) => ("out", Paint::Dim),
        (LogStream::Stderr, None) => ("err", Paint::Yellow),
        (LogStream::Crash, None) => ("crash", Paint::Red),
        (LogStream::Log, None) => ("log", Paint::Dim),
    };
    let request = line.request_id.as_deref().unwrap_or("-");
    let head = format!("{:.3} r{} #{} {request}", line.time, line.revision, line.instance);
    let head = console.paint(Paint::Dim, head);
    let stream = console.paint(paint, stream);
    let context = line.context.as_ref().map(|context| format!("{context}: ")).unwrap_or_default();
    let fields = line.fields.as_ref().map(|fields| console.paint(Paint::Dim, pairs(fields))).unwrap_or_default();
    // A crash has several lines: what follows the first is set off, so that one sees where the next entry begins.
    format!("{head} {stream} {context}{}{fields}", line.text.replace('\n', "\n    "))
}

fn level_paint(level: LogLevel) -> Paint {
    match level {
        LogLevel::Trace | LogLevel::Debug => Paint::Dim,
        LogLevel::Info => Paint::Green,
        LogLevel::Warn => Paint::Yellow,
        LogLevel::Error | LogLevel::Critical => Paint::Red,
    }
}

/// Fields as ` key=value`, each value as JSON, but a text of one word as it is.
fn pairs(fields: &Map<String, Value>) -> String {
    let is_word = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    let pair = |(key, value): (&String, &Value)| match value {
        Value::String(text) if is_word(text) => format!(" {key}={text}"),
        value => format!(" {key}={value}"),
    };
    fields.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let line = serde_json::from_str(json).expect("a log line");
        text(&line, &Console::capturing(std::io::sink(), std::io::sink()))
    }

    #[test]
    fn a_message_is_shown_with_level_context_and_fields() {
        let json = r#"{"time":"2026-01-02T03:04:05.678Z","revision":1,"instance":2,"request_id":"r","stream":"log",
            "level":"warn","context":"cart","fields":{"left":0,"sku":"a-7","who":"Ada L."},"text":"low stock"}"#;
        let expected = r#"2026-01-02T03:04:05.678Z r1 #2 r warn cart: low stock left=0 sku=a-7 who="Ada L.""#;
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn lines_without_a_level_are_shown_by_their_stream() {
        for (stream, word) in [("stdout", "out"), ("stderr", "err"), ("crash", "crash")] {
            let json = format!(
                r#"{{"time":"2026-01-02T03:04:05.678Z","revision":1,"instance":2,"stream":"{stream}","text":"x"}}"#
            );
            assert_eq!(shown(&json), format!("2026-01-02T03:04:05.678Z r1 #2 - {word} x"));
        }
    }
}
