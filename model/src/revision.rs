//! Revisions: what was deployed, when, under which number.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Digest, FunctionName, Settings};

/// A revision's number: counts up from 1 within a function's name and is never used twice, not even after a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionNumber(pub u64);

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RevisionNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A revision's name within the whole platform, written `hello@3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionId {
    /// The function.
    pub function: FunctionName,
    /// The revision's number within the function.
    pub number: RevisionNumber,
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.function, self.number)
    }
}

/// Which WASI HTTP interface a component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentKind {
    /// `wasi:http/incoming-handler@0.2.x`: one request at a time per instance.
    #[serde(rename = "wasi-0.2")]
    Wasi02,
    /// `wasi:http/handler@0.3.x`: several requests at a time per instance, if the settings say so.
    #[serde(rename = "wasi-0.3")]
    Wasi03,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasi02 => "WASI 0.2",
            Self::Wasi03 => "WASI 0.3",
        })
    }
}

/// One immutable deployment of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number.
    pub number: RevisionNumber,
    /// When it was deployed.
    pub created: Timestamp,
    /// The component's bytes, by digest.
    pub artifact: Digest,
    /// How large the component is.
    pub size: ByteSize,
    /// Which interface it exports.
    pub kind: ComponentKind,
    /// Everything else.
    pub settings: Settings,
}

impl Revision {
    /// Whether deploying these bytes with these settings would make just this revision again.
    pub fn same_content(&self, artifact: &Digest, settings: &Settings) -> bool {
        self.artifact == *artifact && self.settings == *settings
    }
}

/// A function as the registry knows it: its revisions, newest last, and which of them answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionState {
    /// The function's name.
    pub name: FunctionName,
    /// The number of the revision that answers; always one of `revisions`.
    pub current: RevisionNumber,
    /// The revisions that are kept, by rising number; never empty.
    pub revisions: Vec<std::sync::Arc<Revision>>,
}

impl FunctionState {
    /// The revision that answers.
    pub fn current(&self) -> &std::sync::Arc<Revision> {
        self.revision(self.current).expect("`current` names a revision that is kept")
    }

    /// The revision of this number, if it is kept.
    pub fn revision(&self, number: RevisionNumber) -> Option<&std::sync::Arc<Revision>> {
        self.revisions.iter().find(|revision| revision.number == number)
    }
}
