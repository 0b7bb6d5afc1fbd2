//! What can go wrong with an invocation, as data: whose fault it is, whether it can have started, its metric label.
//!
//! The HTTP status is not decided here but in one place at the gateway.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ByteSize;

/// Whose fault an error is; sent to callers as `x-samovar-origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Samovar's, or its operator's: no capacity, draining, no such route.
    Platform,
    /// The function's: it trapped, took too long, answered nonsense.
    Function,
}

impl Origin {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
        }
    }
}

/// Why an invocation got no answer from its function.
///
/// The message is for the caller: it names the limit, never the guest's internals, which go to the function's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The guest trapped: a panic, an out-of-bounds access, an explicit exit.
    #[error("the function crashed")]
    Trap,
    /// The guest was refused memory and did not survive it.
    #[error("the function ran out of memory (limit {0})")]
    OutOfMemory(ByteSize),
    /// The guest returned without an answer, or with one that is not valid HTTP.
    #[error("the function gave no valid response")]
    InvalidResponse,
    /// The instance could not be made: its start-up trapped or needs more than its limits.
    #[error("the function could not be started")]
    Start,
    /// The wall-clock deadline passed.
    #[error("the function did not answer in time (limit {0:?})")]
    Deadline(Duration),
    /// The CPU budget was used up.
    #[error("the function used up its CPU budget (limit {0:?})")]
    CpuBudget(Duration),
    /// The function's queue is full.
    #[error("queue full ({0} waiting)")]
    QueueFull(usize),
    /// The invocation waited in the queue for as long as it may.
    #[error("no instance became free in {0:?}")]
    QueueDeadline(Duration),
    /// The host can hold no more instances, and none is idle.
    #[error("the host is at its limit of instances")]
    NoCapacity,
    /// The host is short of memory, and nothing idle is left to let go.
    #[error("the host is short of memory")]
    HostMemory {
        /// Whether the function had been running, and asked for more than there was.
        started: bool,
    },
    /// The host takes nothing new.
    #[error("the host is draining")]
    Draining,
    /// The function or its code is not on this host and cannot be had now.
    #[error("the function's code is not available on this host")]
    NotAvailable,
    /// The function was deleted: the gateway that chose the host had not heard of it.
    #[error("the function is not deployed any more")]
    NoFunction,
    /// The function's code is not compiled on this host yet; another one may have it.
    #[error("the function's code is not compiled on this host yet")]
    NotPrepared,
    /// No host can be reached that could run it.
    #[error("no host can be reached")]
    NoHost,
    /// The host that had the request was lost before it had answered, and trying again might run the function twice.
    #[error("the host was lost before it answered, and it is not known whether the function ran")]
    HostLost,
    /// The request's body is larger than the function accepts.
    #[error("the request body is larger than {0}")]
    BodyTooLarge(ByteSize),
    /// The caller went away before the answer; nobody reads this.
    #[error("the caller went away")]
    CallerGone,
}

impl Fault {
    /// Whose fault this is.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Trap
            | Self::OutOfMemory(_)
            | Self::InvalidResponse
            | Self::Start
            | Self::Deadline(_)
            | Self::CpuBudget(_) => Origin::Function,
            Self::QueueFull(_)
            | Self::QueueDeadline(_)
            | Self::NoCapacity
            | Self::HostMemory { .. }
            | Self::Draining
            | Self::NotAvailable
            | Self::NoFunction
            | Self::NotPrepared
            | Self::NoHost
            | Self::HostLost
            | Self::BodyTooLarge(_)
            | Self::CallerGone => Origin::Platform,
        }
    }

    /// The value of the metric's `kind` label and the problem document's type.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::OutOfMemory(_) => "out-of-memory",
            Self::InvalidResponse => "invalid-response",
            Self::Start => "start",
            Self::Deadline(_) => "deadline",
            Self::CpuBudget(_) => "cpu-budget",
            Self::QueueFull(_) => "queue-full",
            Self::QueueDeadline(_) => "queue-deadline",
            Self::NoCapacity => "no-capacity",
            Self::HostMemory { .. } => "host-memory",
            Self::Draining => "draining",
            Self::NotAvailable => "not-available",
            Self::NoFunction => "no-such-function",
            Self::NotPrepared => "not-prepared",
            Self::NoHost => "no-hosts",
            Self::HostLost => "host-lost",
            Self::BodyTooLarge(_) => "body-too-large",
            Self::CallerGone => "caller-gone",
        }
    }

    /// Every label, in the order in which statistics show them.
    pub const LABELS: [&'static str; 18] = [
        "trap",
        "out-of-memory",
        "invalid-response",
        "start",
        "deadline",
        "cpu-budget",
        "queue-full",
        "queue-deadline",
        "no-capacity",
        "host-memory",
        "draining",
        "not-available",
        "no-such-function",
        "not-prepared",
        "no-hosts",
        "host-lost",
        "body-too-large",
        "caller-gone",
    ];

    /// Whether no guest code can have seen the request, so that trying elsewhere is safe.
    pub fn never_started(&self) -> bool {
        matches!(
            self,
            Self::QueueFull(_)
                | Self::QueueDeadline(_)
                | Self::NoCapacity
                | Self::HostMemory { started: false }
                | Self::Draining
                | Self::NotAvailable
                | Self::NotPrepared
                | Self::NoHost
                | Self::Start
        )
    }
}
