//! What a host tells about its functions: log lines and statistics. Produced by the runtime, shown by the control API
//! and the command line.

use std::collections::BTreeMap;

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
    /// The text, without the line's end.
    pub text: String,
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
