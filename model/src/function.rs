//! A function's settings: everything about a revision but its code.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    BucketGrant, BucketName, ByteSize, FunctionName, JobSettings, OutboundPattern, Route, Schedule, SecretName, Span,
    Subscription,
};

/// Whether instances are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// An instance answers many invocations, one after the other (the default, and the fast way).
    #[default]
    Instance,
    /// A fresh instance for every invocation: nothing a guest keeps in memory is seen by the next caller.
    Request,
}

/// What one instance and one invocation may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory and tables of one instance. Default 128 MiB.
    pub memory: ByteSize,
    /// Wall-clock time of a whole invocation, from admission to the last byte of the answer. Default 30 s.
    pub timeout: Span,
    /// Time on a core for one invocation, counted in ticks of 10 ms. Default 5 s.
    pub cpu: Span,
    /// The largest request body. Default 10 MiB.
    pub request_body: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(128),
            timeout: Span::secs(30),
            cpu: Span::secs(5),
            request_body: ByteSize::mib(10),
        }
    }
}

/// How many instances a function has on one host, and what waits when all are busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scale {
    /// Instances kept warm even when nobody calls. Default 0.
    pub min_warm: u32,
    /// The most instances at once. Default 100.
    pub max_instances: u32,
    /// Requests at once in one instance; more than 1 needs WASI 0.3. Default 1.
    pub concurrency: u32,
    /// How long an instance may stand idle before it is dropped. Default 60 s.
    pub idle_timeout: Span,
    /// Invocations after which an instance is replaced; 0 for no limit. Default 0.
    pub max_requests: u64,
    /// Invocations that may wait for an instance. Default 100.
    pub queue: u32,
    /// How long an invocation may wait for an instance. Default 10 s.
    pub queue_timeout: Span,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            min_warm: 0,
            max_instances: 100,
            concurrency: 1,
            idle_timeout: Span::secs(60),
            max_requests: 0,
            queue: 100,
            queue_timeout: Span::secs(10),
        }
    }
}

/// What a function's requests to others may use, on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundLimits {
    /// Requests under way at once; further ones wait, within their time-outs. Default 256.
    pub concurrency: u32,
    /// The largest answer; one that goes on is cut off. Default 64 MiB.
    pub response_body: ByteSize,
    /// Time for one request and its answer's head, its wait for a place included. Default 60 s.
    pub timeout: Span,
}

impl Default for OutboundLimits {
    fn default() -> Self {
        Self { concurrency: 256, response_body: ByteSize::mib(64), timeout: Span::secs(60) }
    }
}

/// Everything about a revision but its code, validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The requests that belong to the function; never empty.
    pub routes: Vec<Route>,
    /// Whether instances are used again.
    pub isolation: Isolation,
    /// What an instance and an invocation may use.
    pub limits: Limits,
    /// How many instances there are.
    pub scale: Scale,
    /// Environment variables that the guest sees.
    pub env: BTreeMap<String, String>,
    /// Where the guest may send requests; nowhere when empty.
    pub allow_outbound: Vec<OutboundPattern>,
    /// Whether these may be private, loopback and link-local addresses.
    #[serde(default)]
    pub allow_private: bool,
    /// What its requests to others may use.
    #[serde(default)]
    pub outbound: OutboundLimits,
    /// The functions that it may call.
    #[serde(default)]
    pub allow_functions: BTreeSet<FunctionName>,
    /// What it reads through `wasi:config`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Its key-value buckets, by the name that it knows them by.
    #[serde(default)]
    pub kv: BTreeMap<BucketName, BucketGrant>,
    /// The secrets that it may read.
    #[serde(default)]
    pub secrets: BTreeSet<SecretName>,
    /// How its jobs are run.
    #[serde(default)]
    pub jobs: JobSettings,
    /// When it is called without a caller.
    #[serde(default)]
    pub schedules: Vec<Schedule>,
    /// Whose messages it is called for.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
}
