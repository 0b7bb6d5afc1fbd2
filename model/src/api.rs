//! What travels between the control API and its clients, as JSON.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `GET /v1/info` | | [`Info`] |
//! | `POST /v1/artifacts` | the component's bytes, streamed | [`Artifact`] |
//! | `POST /v1/functions/{name}/revisions` | [`Deploy`] | [`Deployed`] |
//! | `GET /v1/functions` | | [`FunctionList`] |
//! | `GET /v1/functions/{name}` | | [`FunctionDetail`] |
//! | `DELETE /v1/functions/{name}` | | 204 |
//! | `GET /v1/functions/{name}/revisions` | | [`RevisionList`] |
//! | `PATCH /v1/functions/{name}/settings` | [`Amend`] | [`Deployed`] |
//! | `POST /v1/functions/{name}/rollback` | [`Rollback`] | [`FunctionSummary`] |
//! | `GET /v1/functions/{name}/logs?since=10m&follow=true&level=warn` | | [`LogLine`](crate::LogLine)s as JSON lines |
//! | `GET /v1/functions/{name}/stats` | | [`NamedStats`] |
//! | `GET /v1/stats` | | [`StatsList`] |
//! | `GET /v1/kv` | | [`BucketList`] |
//! | `DELETE /v1/kv/{bucket}` | | 204 |
//! | `GET /v1/kv/{bucket}/keys?prefix=a&after=ab&limit=1000` | | [`KeyPage`] |
//! | `GET`, `PUT`, `DELETE /v1/kv/{bucket}/values/{key}` | the value's bytes | the value's bytes, 204, 204 |
//! | `GET /v1/kv/{bucket}/export?prefix=a` | | [`ExportedValue`]s as JSON lines |
//! | `POST /v1/kv/{bucket}/import` | [`ExportedValue`]s as JSON lines | [`Imported`] |
//! | `GET /v1/secrets` | | [`SecretList`] |
//! | `PUT /v1/secrets/{name}` | the value's bytes | [`SecretSummary`] |
//! | `DELETE /v1/secrets/{name}` | | 204 |
//! | `POST /v1/reseal` | | [`Resealed`] |
//! | `GET /v1/jobs?function=a&state=dead&limit=100` | | [`JobList`] |
//! | `GET /v1/jobs/{id}` | | [`JobDetail`] |
//! | `POST /v1/jobs/{id}/retry` | | 202 |
//! | `POST /v1/jobs/purge?function=a&state=dead&older_than=1d` | | [`Purged`] |
//! | `GET /v1/schedules` | | [`ScheduleList`] |
//! | `GET /v1/hosts` | | [`HostList`] |
//! | `POST /v1/hosts/{name}/drain`, `POST /v1/hosts/{name}/undrain` | | 202 |

mod jobs;
mod key_value;
mod secrets;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::manifest::{self, FunctionTable, ManifestError};
use crate::{
    ComponentKind, Digest, FunctionName, FunctionStats, HostId, HostState, HostStats, RevisionNumber, SecretName,
    Settings,
};

pub use jobs::{JobDetail, JobList, JobStatus, Purged, ScheduleList, ScheduleStatus};
pub use key_value::{BucketList, BucketRules, BucketSummary, ExportedValue, Imported, KeyPage};
pub use secrets::{KeyState, Resealed, SecretList, SecretSummary};

/// The largest component that can be uploaded: 256 MiB.
pub const MAX_ARTIFACT_BYTES: u64 = 256 << 20;

/// What a client needs to know of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Info {
    /// Samovar's version.
    pub version: String,
    /// Where functions are called, as in `http://127.0.0.1:8080`.
    pub gateway: String,
}

/// What a component is, told from the component itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentInfo {
    /// Which handler interface it exports.
    #[schema(value_type = String, example = "wasi-0.2")]
    pub kind: ComponentKind,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
}

/// An uploaded component that has been checked and compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its name.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// What it is.
    pub component: ComponentInfo,
    /// How long it took to check and compile; 0 when this was done before.
    pub compile_millis: u64,
}

/// Makes a revision out of an uploaded component, and makes it the one that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deploy {
    /// The component.
    #[schema(value_type = String)]
    pub artifact: Digest,
    /// The function's table, as it stands in `samovar.toml`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: FunctionTable,
    /// In a cluster: answer only when every gateway and host goes by it. On one machine that is always so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait: bool,
}

/// Changes configuration and environment without a build: the component stays, and so does what is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Amend {
    /// Keys of the configuration with their new values; null removes one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Option<String>>,
    /// The same for environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Option<String>>,
    /// In a cluster: answer only when every gateway and host goes by it. On one machine that is always so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wait: bool,
}

impl Amend {
    /// These settings with the changes. What is to be removed need not be there.
    ///
    /// # Errors
    /// When a key cannot be one.
    pub fn apply(&self, function: &FunctionName, mut settings: Settings) -> Result<Settings, ManifestError> {
        manifest::check_names(function, self.config.keys(), self.env.keys())?;
        for (changes, values) in [(&self.config, &mut settings.config), (&self.env, &mut settings.env)] {
            for (key, value) in changes {
                match value {
                    Some(value) => values.insert(key.clone(), value.clone()),
                    None => values.remove(key),
                };
            }
        }
        manifest::check_secrets(function, settings.secrets.iter().map(SecretName::as_str), &settings.config)?;
        Ok(settings)
    }
}

/// The outcome of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The function as it is now.
    #[serde(flatten)]
    pub function: FunctionSummary,
    /// False when the revision that answers already had these bytes and settings, and nothing was done.
    pub changed: bool,
    /// How long it took until requests were routed to it; in a cluster, if it was not waited for, until it was committed.
    pub activate_millis: u64,
    /// Gateways and hosts that were waited for, and have not said in time that they go by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrouted: Vec<String>,
    /// What the function will miss, in words for the person who deploys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A function in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub name: FunctionName,
    /// The revision that answers.
    #[schema(value_type = u64)]
    pub revision: RevisionNumber,
    /// When that revision was deployed.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// Its component.
    #[schema(value_type = String)]
    pub artifact: Digest,
    /// Its component's size in bytes.
    pub size_bytes: u64,
    /// Which handler interface it exports.
    #[schema(value_type = String, example = "wasi-0.2")]
    pub kind: ComponentKind,
    /// Where it can be called: one URL for each route, parameters left out.
    pub urls: Vec<String>,
}

/// All functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionList {
    /// By name.
    pub functions: Vec<FunctionSummary>,
}

/// A function with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionDetail {
    /// The line.
    #[serde(flatten)]
    pub summary: FunctionSummary,
    /// The settings of the revision that answers.
    #[schema(value_type = Object)]
    pub settings: Settings,
}

/// One of a function's revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevisionSummary {
    /// Its number.
    #[schema(value_type = u64)]
    pub revision: RevisionNumber,
    /// Whether it is the one that answers.
    pub current: bool,
    /// When it was deployed.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// Its component.
    #[schema(value_type = String)]
    pub artifact: Digest,
    /// Its component's size in bytes.
    pub size_bytes: u64,
}

/// A function's revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevisionList {
    /// Newest first.
    pub revisions: Vec<RevisionSummary>,
}

/// Makes an older revision the one that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    /// Which one; the one before the current one when absent.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub revision: Option<RevisionNumber>,
}

/// A function's statistics with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NamedStats {
    /// The function.
    #[schema(value_type = String)]
    pub name: FunctionName,
    /// How it has fared.
    #[serde(flatten)]
    pub stats: FunctionStats,
}

/// Statistics of all functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsList {
    /// By name.
    pub functions: Vec<NamedStats>,
    /// The host that runs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStats>,
}

/// A host of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub name: HostId,
    /// Whether it can be counted on: `ready`, `draining`, `suspect` (not heard of for some time) or `gone` (its lease is over).
    #[schema(value_type = String)]
    pub state: HostState,
    /// Where gateways reach it.
    pub address: String,
    /// Samovar's version there.
    pub version: String,
    /// When it was started.
    #[schema(value_type = String)]
    pub started: Timestamp,
    /// Invocations that have not ended, as it told last.
    pub in_flight: u64,
    /// Instances that run an invocation, and that wait for one.
    pub busy: u64,
    /// Instances that wait for an invocation.
    pub idle: u64,
    /// The most that can be alive at once.
    pub max_instances: u64,
    /// Functions whose code it has loaded.
    #[schema(value_type = Vec<String>)]
    pub warm: Vec<FunctionName>,
}

/// The hosts of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// By name.
    pub hosts: Vec<HostSummary>,
}

/// A problem document (RFC 9457), as the gateway and the control API send them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: a URI reference such as `/problems/queue-full`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// The request it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amended(json: &str) -> Result<Settings, ManifestError> {
        let name = "shop".parse().expect("a name");
        let table = FunctionTable {
            config: [("vat".to_owned(), "19".to_owned()), ("till".to_owned(), "open".to_owned())].into(),
            env: [("vat".to_owned(), "other".to_owned())].into(),
            secrets: vec!["STRIPE_KEY".to_owned()],
            ..Default::default()
        };
        let settings = table.settings(&name).expect("valid");
        serde_json::from_str::<Amend>(json).expect("a change").apply(&name, settings)
    }

    #[test]
    fn what_is_named_changes_and_all_else_stays() {
        let settings = amended(r#"{"config":{"vat":"7","till":null,"gone":null},"env":{"NEW":"1"}}"#).expect("valid");
        assert_eq!(settings.config, [("vat".to_owned(), "7".to_owned())].into());
        let env = [("NEW".to_owned(), "1".to_owned()), ("vat".to_owned(), "other".to_owned())];
        assert_eq!(settings.env, env.into());
    }

    #[test]
    fn keys_are_checked_as_in_a_manifest() {
        for (json, words) in [
            (r#"{"config":{"":"1"}}"#, "function.shop.config = \"\": a key must not be empty"),
            (
                r#"{"config":{"STRIPE_KEY":"1"}}"#,
                "function.shop.secrets = \"STRIPE_KEY\": the name stands in `config` too",
            ),
            (r#"{"env":{"A=B":"1"}}"#, "function.shop.env = \"A=B\": a variable's name must not be empty"),
        ] {
            let error = amended(json).expect_err(json).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
