//! What a call came to, and what is in a log, as far as it must be the same.

use http::{HeaderMap, Response, header};
use http_body_util::BodyExt as _;
use samovar_model::{Fault, LogLevel, LogLine, LogStream, headers};
use samovar_runtime::ResponseBody;

use crate::call::Call;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Answer(Answer),
    /// Instead of an answer, or of its end: which of the two also depends on when the guest had its turns.
    Fault(Fault),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: String,
    trailers: Option<HeaderMap>,
}

impl Outcome {
    /// Reads an answer to its end.
    pub(crate) async fn of(call: &Call, answered: Result<Response<ResponseBody>, Fault>) -> Self {
        let (mut head, body) = match answered {
            Ok(answer) => answer.into_parts(),
            Err(fault) => return Self::Fault(fault),
        };
        let body = match body.collect().await {
            Ok(body) => body,
            Err(fault) => return Self::Fault(fault),
        };
        // Which instance it was may differ.
        head.headers.remove(headers::INSTANCE);
        head.headers.remove(headers::INSTANCE_ID);
        if call.is_head() {
            // It is told where the whole answer was there at once.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let trailers = body.trailers().cloned();
        let body = body.to_bytes();
        let body = std::str::from_utf8(&body).map_or_else(|_| body.escape_ascii().to_string(), str::to_owned);
        Self::Answer(Answer { status: head.status.as_u16(), headers: head.headers, body, trailers })
    }

    pub(crate) fn body(&self) -> &str {
        match self {
            Self::Answer(answer) => &answer.body,
            Self::Fault(fault) => panic!("{fault}"),
        }
    }

    /// Without the digits of its body.
    pub(crate) fn shape(mut self) -> Self {
        if let Self::Answer(Answer { body, headers, .. }) = &mut self {
            *body =
                body.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#");
            headers.remove(header::CONTENT_LENGTH);
        }
        self
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) request: Option<String>,
    pub(crate) stream: LogStream,
    level: Option<LogLevel>,
    context: Option<String>,
    fields: Option<serde_json::Map<String, serde_json::Value>>,
    /// Of a crash the first line: the rest is where it was.
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn of(line: LogLine) -> Self {
        let LogLine { request_id, stream, level, context, fields, text, .. } = line;
        let is_crash = stream == LogStream::Crash;
        let text = if is_crash { text.lines().next().unwrap_or_default().to_owned() } else { text };
        Self { request: request_id, stream, level, context, fields, text }
    }

    /// With what it says of a crash left out.
    pub(crate) fn wordless(mut self) -> Self {
        if self.stream == LogStream::Crash {
            self.text.clear();
        }
        self
    }
}
