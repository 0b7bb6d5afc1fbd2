//! The names of the headers that Samovar itself reads and writes.

use http::HeaderName;

/// Every header whose name begins with this is Samovar's own: a client's are dropped.
pub const PREFIX: &str = "x-samovar-";

/// Whose fault an error is: `platform` or `function`.
pub const ORIGIN: HeaderName = HeaderName::from_static("x-samovar-origin");

/// Whether the invocation found an instance waiting: `warm` or `cold`.
pub const INSTANCE: HeaderName = HeaderName::from_static("x-samovar-instance");

/// Which instance answered: a number unique within its host.
pub const INSTANCE_ID: HeaderName = HeaderName::from_static("x-samovar-instance-id");

/// Which revision answered.
pub const REVISION: HeaderName = HeaderName::from_static("x-samovar-revision");

/// The request's id, made by the gateway or passed on from the caller.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The job that a request is made for.
pub const JOB: HeaderName = HeaderName::from_static("x-samovar-job");

/// Which attempt of a job a request is, or which delivery of a message: 1 for the first.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-samovar-attempt");

/// The schedule that a request is made by: its cron expression.
pub const SCHEDULE: HeaderName = HeaderName::from_static("x-samovar-schedule");

/// When the schedule was due, as in `2026-05-01T00:00:00Z`.
pub const TICK: HeaderName = HeaderName::from_static("x-samovar-tick");

/// Where a job stands whose answer this is: `done` or `dead`.
pub const JOB_STATE: HeaderName = HeaderName::from_static("x-samovar-job-state");

/// The subject of the message that a request is made for.
pub const SUBJECT: HeaderName = HeaderName::from_static("x-samovar-subject");
