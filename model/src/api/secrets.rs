//! What the control API tells of secrets: everything but their values.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FunctionName, SecretName};

/// A secret in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub name: SecretName,
    /// Grows with every write.
    pub version: u64,
    /// When it was written last.
    #[schema(value_type = String)]
    pub set: Timestamp,
    /// What it is encrypted with.
    pub key: KeyState,
    /// The functions whose current revision may read it.
    #[schema(value_type = Vec<String>)]
    pub granted_to: Vec<FunctionName>,
}

/// What a secret is encrypted with, as the control API's process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// The first key.
    Current,
    /// A further key: `samovar secret reseal` encrypts it with the first.
    Older,
    /// A key that the process has not got.
    Missing,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "current",
            Self::Older => "older",
            Self::Missing => "missing",
        })
    }
}

/// All secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// By name.
    pub secrets: Vec<SecretSummary>,
}

/// The secrets that were encrypted with the first key, and were not before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resealed {
    /// By name.
    #[schema(value_type = Vec<String>)]
    pub resealed: Vec<SecretName>,
}
