//! A function's log as JSON lines, so far or followed.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::Deserialize;

use samovar_model::api::Problem as Document;
use samovar_model::{LogLevel, LogLine, Span};

use crate::Control;
use crate::extract::{Name, Params};
use crate::problem::{Kind, Problem};

/// Which lines.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Selection {
    /// Only lines from then on: a span before now, as in `10m`, or a time, as in `2026-01-02T03:04:05Z`.
    since: Option<String>,
    /// Whether to go on with the lines to come, without an end.
    #[serde(default)]
    follow: bool,
    /// Only lines that matter this much, or more: `trace`, `debug`, `info`, `warn`, `error` or `critical`. Lines without a
    /// level of their own count as `info` from stdout, `warn` from stderr, and `critical` if they are crashes.
    level: Option<String>,
}

/// What a function wrote and how it crashed, oldest first, one JSON object a line.
///
/// A followed log ends when the caller goes away or the control API shuts down.
#[utoipa::path(get, path = "/v1/functions/{name}/logs", operation_id = "function_logs", tag = "functions",
    params(("name" = String, Path, description = "the function's name"), Selection),
    responses(
        (status = 200, description = "JSON lines", body = LogLine, content_type = "application/x-ndjson"),
        (status = 400, description = "`since`, `follow` or `level` is malformed", body = Document,
            content_type = "application/problem+json"),
        (status = 404, description = "no such function", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(control): State<Control>,
    Name(name): Name,
    Params(selection): Params<Selection>,
) -> Result<Response, Problem> {
    let since = selection.since.as_deref().map(|text| moment(text, Timestamp::now())).transpose()?;
    let level = selection.level.as_deref().map(level).transpose()?;
    control.function(&name)?;
    let lines = control.0.platform.logs(&name, since, selection.follow).await;
    let lines = lines.filter(move |line| ready(level.is_none_or(|level| line.severity() >= level)));
    let lines = lines.take_until(control.0.closing.clone().cancelled_owned());
    let body = Body::from_stream(lines.map(|line| Ok::<_, Infallible>(json_line(&line))));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn json_line(line: &LogLine) -> Bytes {
    let mut json = serde_json::to_vec(line).expect("a log line has only string keys and numbers that JSON can hold");
    json.push(b'\n');
    json.into()
}

fn level(text: &str) -> Result<LogLevel, Problem> {
    text.parse().map_err(|error| Problem::new(Kind::BadRequest, format!("the query: level: {error}")))
}

fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    if let Ok(span) = text.parse::<Span>() {
        // What lies before the beginning of time means everything.
        return Ok(now.checked_sub(span.as_duration()).unwrap_or(Timestamp::MIN));
    }
    text.parse().map_err(|_| {
        let help = "write a span such as `10m`, or a time such as `2026-01-02T03:04:05Z`";
        Problem::new(Kind::BadRequest, format!("the query: since: `{text}` is neither a span nor a time; {help}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_before_now_or_a_time() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let at = |text| moment(text, now).expect(text).to_string();
        assert_eq!(at("10m"), "2026-01-02T02:54:05Z");
        assert_eq!(at("2025-12-31T23:00:00+01:00"), "2025-12-31T22:00:00Z");
        assert_eq!(moment("99999999d", now).expect("saturates"), Timestamp::MIN);
        for bad in ["", "10", "yesterday", "-10m"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }
}
