//! What an invocation and its answer say on a hop beside plain HTTP, in headers that callers and functions never see.
//!
//! | header | on | says |
//! | --- | --- | --- |
//! | [`TARGET`] | a request | which function, by which revision, and by which version of the registry the gateway chose it |
//! | [`ELAPSED`] | a request that was tried before, or that a function sends | how long ago the gateway got it; what it inherits: [`Since`] |
//! | [`LOAD`] | an answer | invocations in flight on the host, this one included |
//! | [`FAULT`] | an answer | that it is no answer of the function, and why not |
//!
//! Requests without [`TARGET`] are about the host itself: see [`HostCall`].

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use samovar_model::api::ComponentInfo;
use samovar_model::{Digest, Fault, FunctionName, FunctionStats, Lineage, RevisionNumber};
use serde::{Deserialize, Serialize};

/// Which function is meant: [`Target`] as text.
pub const TARGET: HeaderName = HeaderName::from_static("x-samovar-target");
/// When the gateway got the request, where that is not just now, and what comes with a call: [`Since`] as text.
pub const ELAPSED: HeaderName = HeaderName::from_static("x-samovar-elapsed");
/// The host's load, as a number.
pub const LOAD: HeaderName = HeaderName::from_static("x-samovar-load");
/// Why there is no answer: a [`Fault`] as JSON.
pub const FAULT: HeaderName = HeaderName::from_static("x-samovar-fault");

/// Where a request comes from: written `250` where it was sent first 250 ms ago, `250;2;900` where it is a call of a function by
/// a function, the second in a row, that must be answered within 900 ms, and `;2;900` where such a call is sent for the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    /// How long ago the gateway got it, where that is not just now: its deadline counts from then.
    pub elapsed: Option<Duration>,
    /// What it inherits.
    pub lineage: Option<Lineage>,
}

impl Since {
    /// As a header's value; `None` where there is nothing to say.
    pub fn header(&self, now: Instant) -> Option<HeaderValue> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let elapsed = self.elapsed.map(millis);
        let Some(Lineage { depth, deadline }) = self.lineage else { return elapsed.map(HeaderValue::from) };
        let elapsed = elapsed.map(|millis| millis.to_string()).unwrap_or_default();
        let left = millis(deadline.saturating_duration_since(now));
        HeaderValue::from_str(&format!("{elapsed};{depth};{left}")).ok()
    }

    /// Reads a header's value; what cannot be read says nothing.
    pub fn read(header: &HeaderValue, now: Instant) -> Self {
        let text = header.to_str().unwrap_or_default();
        let (elapsed, lineage) = text.split_once(';').unwrap_or((text, ""));
        let lineage = lineage.split_once(';').and_then(|(depth, left)| {
            let left = Duration::from_millis(left.parse().ok()?);
            Some(Lineage { depth: depth.parse().ok()?, deadline: now.checked_add(left)? })
        });
        Self { elapsed: elapsed.parse().ok().map(Duration::from_millis), lineage }
    }
}

/// Which function a request is for. Written `hello@3;57`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The function.
    pub function: FunctionName,
    /// The revision that the gateway routes to.
    pub revision: RevisionNumber,
    /// The registry's version by which it does. A host that knows a newer one answers with what that says.
    pub version: u64,
}

/// Text that is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a target: write it as `hello@3;57`")]
pub struct NoTarget;

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{};{}", self.function, self.revision, self.version)
    }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let parts = || {
            let (revision, version) = text.split_once(';')?;
            let (function, revision) = revision.split_once('@')?;
            Some((function.parse().ok()?, revision.parse().ok()?, version.parse().ok()?))
        };
        let (function, revision, version) = parts().ok_or(NoTarget)?;
        Ok(Self { function, revision, version })
    }
}

impl Target {
    /// As a header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).expect("a name and numbers are a header's value")
    }
}

/// A fault as a header's value.
pub fn fault_header(fault: &Fault) -> HeaderValue {
    let json = serde_json::to_string(fault).unwrap_or_default();
    HeaderValue::from_str(&json).expect("JSON of numbers and labels is a header's value")
}

/// The fault that an answer tells of, instead of a function's answer. One that cannot be read, as from a newer host, is none of
/// the faults after which trying again is safe.
pub fn fault(head: &HeaderMap) -> Option<Fault> {
    let value = head.get(FAULT)?;
    Some(serde_json::from_slice(value.as_bytes()).unwrap_or(Fault::HostLost))
}

/// What a host is asked about itself: a method and a path.
///
/// | call | body | answer |
/// | --- | --- | --- |
/// | `POST /check/DIGEST` | the component, if the host has said that it has not got it | [`Checked`]; 404, 422, 503 with a text |
/// | `POST /rehearse/DIGEST` | `Settings` as JSON | 200; 404, 422, 503 with a text |
/// | `GET /artifacts/DIGEST` | | the component; 404 |
/// | `GET /usage` | | `HostStats` |
/// | `GET /stats` | | [`StatsPart`]s by function |
/// | `GET /stats/FUNCTION` | | [`StatsPart`]; 404 |
/// | `GET /logs/FUNCTION?since=TIME&follow=BOOL` | | `LogLine`s as JSON lines |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCall {
    /// Can this component run?
    Check(Digest),
    /// Does an instance start under these settings?
    Rehearse(Digest),
    /// The component's bytes.
    Artifact(Digest),
    /// How much of the host is in use?
    Usage,
    /// How has every function fared there?
    AllStats,
    /// How has one?
    Stats(FunctionName),
    /// What has it written?
    Logs(FunctionName),
}

impl HostCall {
    /// Whether the call only asks: `GET`, not `POST`.
    pub fn is_question(&self) -> bool {
        !matches!(self, Self::Check(_) | Self::Rehearse(_))
    }

    /// The call's path.
    pub fn path(&self) -> String {
        match self {
            Self::Check(digest) => format!("/check/{digest}"),
            Self::Rehearse(digest) => format!("/rehearse/{digest}"),
            Self::Artifact(digest) => format!("/artifacts/{digest}"),
            Self::Usage => "/usage".to_owned(),
            Self::AllStats => "/stats".to_owned(),
            Self::Stats(function) => format!("/stats/{function}"),
            Self::Logs(function) => format!("/logs/{function}"),
        }
    }

    /// The call of this path, if it is one.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let (call, about) = path.split_once('/').unwrap_or((path, ""));
        Some(match call {
            "check" => Self::Check(about.parse().ok()?),
            "rehearse" => Self::Rehearse(about.parse().ok()?),
            "artifacts" => Self::Artifact(about.parse().ok()?),
            "usage" => Self::Usage,
            "stats" if about.is_empty() => Self::AllStats,
            "stats" => Self::Stats(about.parse().ok()?),
            "logs" => Self::Logs(about.parse().ok()?),
            _ => return None,
        })
    }
}

/// A component that can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What it is.
    pub component: ComponentInfo,
    /// How long compiling took, in milliseconds; 0 when it was compiled before.
    pub compile_millis: u64,
}

/// How a function has fared on one host, with what is needed to add several hosts' up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsPart {
    /// The numbers.
    pub stats: FunctionStats,
    /// Invocations by how long they took, as finely as they are counted.
    pub durations: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use samovar_model::ByteSize;

    use super::*;

    #[test]
    fn a_target_is_read_back() {
        let target = Target { function: "hello".parse().unwrap(), revision: RevisionNumber(3), version: 57 };
        assert_eq!(target.to_string(), "hello@3;57");
        assert_eq!("hello@3;57".parse(), Ok(target));
        for bad in ["", "hello", "hello@3", "hello@;1", "@1;1", "hello@1;x", "Hello@1;1"] {
            assert_eq!(bad.parse::<Target>(), Err(NoTarget), "{bad}");
        }
    }

    #[test]
    fn faults_cross_a_hop_as_they_are() {
        let faults = [
            Fault::Trap,
            Fault::OutOfMemory(ByteSize::bytes(1 << 20)),
            Fault::Deadline(Duration::from_millis(1500)),
            Fault::QueueFull(64),
            Fault::HostMemory { started: true },
        ];
        for told in faults {
            let head = HeaderMap::from_iter([(FAULT, fault_header(&told))]);
            assert_eq!(fault(&head), Some(told));
        }
        assert_eq!(fault(&HeaderMap::new()), None);
    }

    #[test]
    fn a_fault_of_a_newer_host_is_not_tried_again() {
        let head = HeaderMap::from_iter([(FAULT, HeaderValue::from_static("\"new\""))]);
        assert!(!fault(&head).unwrap().never_started());
    }

    #[test]
    fn calls_are_read_back() {
        let digest = Digest::of(b"x");
        let name = || "hello".parse().unwrap();
        let calls = [
            HostCall::Check(digest),
            HostCall::Rehearse(digest),
            HostCall::Artifact(digest),
            HostCall::Usage,
            HostCall::AllStats,
        ];
        for call in calls.into_iter().chain([HostCall::Stats(name()), HostCall::Logs(name())]) {
            assert_eq!(HostCall::of(&call.path()), Some(call));
        }
        for bad in ["", "/", "/check", "/check/x", "/other/a"] {
            assert_eq!(HostCall::of(bad), None, "{bad}");
        }
    }
}
