//! What a host tells about its functions: log lines and statistics. Produced by the runtime, shown by the control API
//! and the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a log line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The host's word on a crash: the reason and the wasm backtrace.
    Crash,
    /// What it said through `wasi:logging`, with a level.
    Log,
}

/// How much a log line matters, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What the program passes through.
    Trace,
    /// For whoever looks for a mistake in it.
    Debug,
    /// For whoever watches it.
    Info,
    /// Something may go wrong.
    Warn,
    /// Something went wrong.
    Error,
    /// It cannot go on.
    Critical,
}

impl LogLevel {
    /// Every level, from the least to the most.
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a level: write trace, debug, info, warn, error or critical")]
pub struct LogLevelError(String);

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let level = Self::ALL.into_iter().find(|level| level.as_str() == text);
        level.ok_or_else(|| LogLevelError(text.to_owned()))
    }
}

/// One line that a function wrote, or one crash (whose text has several lines).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When it was written.
    #[schema(value_type = String, example = "2026-01-02T03:04:05.678Z")]
    pub time: Timestamp,
    /// The revision's number.
    pub revision: u64,
    /// The instance: a number unique within its host's run.
    pub instance: u64,
    /// The request, where the line belongs to just one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where it comes from.
    pub stream: LogStream,
    /// How much it matters, where the guest said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// The guest's word for what the line belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What the guest said beside the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fields: Option<serde_json::Map<String, serde_json::Value>>,
    /// The text, without the line's end.
    pub text: String,
}

impl LogLine {
    /// How much the line matters. One without a level of its own counts as `info` if it comes from stdout, as `warn` if it
    /// comes from stderr, and as `critical` if it is a crash.
    pub fn severity(&self) -> LogLevel {
        self.level.unwrap_or(match self.stream {
            LogStream::Stdout | LogStream::Log => LogLevel::Info,
            LogStream::Stderr => LogLevel::Warn,
            LogStream::Crash => LogLevel::Critical,
        })
    }
}

/// How much of what a host has is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostStats {
    /// Instances alive now, of all functions.
    pub instances: u64,
    /// The most that can be alive at once.
    pub max_instances: u64,
    /// Memory that the process has resident, with page tables, less what is kept ready for instances to come.
    pub memory_bytes: u64,
    /// Memory that is resident, or promised to what is alive: what is held against the budget.
    pub memory_used_bytes: u64,
    /// The most that is to be used.
    pub memory_budget_bytes: u64,
    /// Compiled code that is loaded.
    pub code_bytes: u64,
    /// The most that is kept loaded.
    pub code_budget_bytes: u64,
    /// Components whose code is loaded.
    pub components: u64,
    /// How often code was loaded.
    pub code_loads: u64,
    /// How often code was let go to make room.
    pub code_evictions: u64,
    /// Idle instances that were dropped to make room.
    pub instance_evictions: u64,
}

/// How a function has fared on a host since the host started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionStats {
    /// Invocations that have ended, well or not.
    pub invocations: u64,
    /// Invocations that ended in a fault, by the fault's label; kinds that never happened are left out.
    pub faults: BTreeMap<String, u64>,
    /// Answers of the function by class: `2xx`, `5xx`, …; classes that never happened are left out.
    pub responses: BTreeMap<String, u64>,
    /// Median time from admission to the end of the answer, in microseconds; absent before the first invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_micros: Option<u64>,
    /// 99th percentile of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_micros: Option<u64>,
    /// Sum of the same over all invocations, in microseconds.
    pub total_micros: u64,
    /// Cumulative counts of the same: (upper bound in microseconds, invocations at or below it).
    #[serde(skip)]
    pub histogram: Vec<(u64, u64)>,
    /// Instances that are running an invocation.
    pub busy: u64,
    /// Instances that wait for one.
    pub idle: u64,
    /// Invocations that had to make their instance.
    pub cold_starts: u64,
    /// Invocations that wait for an instance now.
    pub queued: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_from_before_levels_are_read_and_written_as_they_were() {
        let text = r#"{"time":"2026-01-02T03:04:05.678Z","revision":1,"instance":2,"stream":"stderr","text":"x"}"#;
        let line: LogLine = serde_json::from_str(text).expect("an older line");
        assert_eq!((line.level, line.severity()), (None, LogLevel::Warn));
        assert_eq!(serde_json::to_string(&line).expect("serialises"), text);
    }

    #[test]
    fn levels_are_written_as_they_are_read_and_grow() {
        for pair in LogLevel::ALL.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        for level in LogLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
            assert_eq!(serde_json::to_string(&level).expect("serialises"), format!("\"{level}\""));
        }
        assert!("warning".parse::<LogLevel>().is_err());
    }
}
