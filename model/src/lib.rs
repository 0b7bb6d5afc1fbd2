//! The words of Samovar as plain data: no I/O, no tokio, nothing that can block.
//!
//! Everything that crosses a boundary (the manifest, the control API, the registry, a problem document) is defined here
//! once, in two steps: a raw form that serde reads, and a validated form that the rest of the code passes around.

pub mod api;
mod bucket;
mod cron;
mod digest;
mod fault;
mod function;
mod gateway;
pub mod headers;
mod host;
mod job;
mod lineage;
pub mod manifest;
mod member_id;
mod name;
mod outbound;
mod request_id;
mod revision;
mod route;
mod schedule;
mod secret;
mod subscription;
mod telemetry;
mod units;

pub use bucket::{
    Bucket, BucketGrant, BucketId, BucketIdError, BucketName, BucketNameError, Durability, MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
};
pub use cron::{Cron, CronError};
pub use digest::{Digest, DigestError};
pub use fault::{Fault, Origin};
pub use function::{Isolation, Limits, OutboundLimits, Scale, Settings};
pub use gateway::{GatewayId, GatewayIdError, GatewayMember, GatewayRecord, GatewayState};
pub use host::{
    BootEpoch, HostCapacity, HostId, HostIdError, HostIntent, HostLoad, HostRecord, HostReport, HostState, Hosts,
    Member,
};
pub use job::{Job, JobAnswer, JobId, JobIdError, JobSettings, JobState, JobStateError};
pub use lineage::{Lineage, MAX_CALL_DEPTH};
pub use name::{FunctionName, NameError};
pub use outbound::{OutboundError, OutboundPattern};
pub use request_id::RequestId;
pub use revision::{ComponentKind, FunctionState, Revision, RevisionId, RevisionNumber};
pub use route::{Clash, HostPattern, Methods, PathPattern, Route, RouteError, Segment};
pub use schedule::{CatchUp, Schedule, ScheduleKey, Zone, ZoneError};
pub use secret::{MAX_SECRET_BYTES, SecretName, SecretNameError};
pub use subscription::{Start, SubjectError, SubjectPattern, Subscription, SubscriptionKey};
pub use telemetry::{FunctionStats, HostStats, LogLevel, LogLevelError, LogLine, LogStream};
pub use units::{ByteSize, Span, UnitError};
