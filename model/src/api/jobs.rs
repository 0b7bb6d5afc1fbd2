//! What is told of jobs and schedules.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CatchUp, FunctionName, Job};

/// A job, as the gateway tells whoever knows its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobStatus {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// The path of its answer, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_url: Option<String>,
}

/// Jobs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// A job with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// The answer's headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer_headers: Vec<(String, String)>,
    /// The answer's body, where it was kept and is a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_text: Option<String>,
}

/// What a purge came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Purged {
    /// How many jobs are forgotten.
    pub purged: u64,
}

/// One schedule of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleStatus {
    /// The function.
    #[schema(value_type = String)]
    pub function: FunctionName,
    /// Its cron expression.
    pub cron: String,
    /// Its time zone.
    pub zone: String,
    /// Where its requests go.
    pub path: String,
    /// What becomes of missed ticks: `none` or `one`.
    #[schema(value_type = String)]
    pub catch_up: CatchUp,
    /// When it is due next.
    #[schema(value_type = Option<String>)]
    pub next: Option<Timestamp>,
    /// The last tick for which a job was stored.
    #[schema(value_type = Option<String>)]
    pub last: Option<Timestamp>,
    /// That job, if it is kept still.
    pub last_job: Option<Job>,
}

/// All schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleList {
    /// By function.
    pub schedules: Vec<ScheduleStatus>,
}
