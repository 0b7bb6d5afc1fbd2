//! What the commands that serve are made of: `up`, `host`, `gateway`, `control`.
//!
//! `up` alone is a host and a gateway in one process that call each other directly (`local.rs`). With `--join`, and in the other
//! three commands, the roles (`host_role.rs`, `gateway_role.rs`, `control_role.rs`) find each other through the cluster that
//! `member.rs` joins.

pub(crate) mod announce;
pub(crate) mod calls;
pub(crate) mod control_role;
pub(crate) mod gateway_role;
pub(crate) mod host_role;
mod job_options;
pub(crate) mod limits;
pub(crate) mod local;
pub(crate) mod local_platform;
pub(crate) mod logging;
pub(crate) mod member;
mod member_options;
mod peers;
mod queues;
mod remote_platform;
pub(crate) mod secret_keys;
pub(crate) mod signals;
pub(crate) mod status_role;

pub(crate) use announce::{Endpoints, bind};
pub(crate) use gateway_role::GatewayOptions;
pub(crate) use host_role::HostOptions;
pub(crate) use job_options::JobOptions;
pub(crate) use logging::LogOptions;
pub(crate) use member_options::MemberOptions;
pub(crate) use secret_keys::SecretOptions;
pub(crate) use signals::Signals;
pub(crate) use status_role::StatusOptions;
