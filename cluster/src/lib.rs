//! What Samovar's processes share, each behind a small trait: the [`Registry`] of functions, the store of [`Artifacts`],
//! the [`Membership`] of hosts, the leases of [`Gateways`], what functions keep ([`KeyValue`]), their [`Secrets`], the requests
//! that are answered later ([`Jobs`]), and others' messages ([`Queues`], in a cluster alone). `embedded` keeps them in one process,
//! in redb and files; `nats` in JetStream, for many.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error should stop there"))]

pub mod artifacts;
#[cfg(test)]
mod contract;
mod durable;
pub mod embedded;
pub mod garbage;
pub mod gateways;
pub mod jobs;
pub mod key_value;
pub mod membership;
pub mod nats;
pub mod queues;
mod random;
pub mod redis;
pub mod registry;
mod rules;
pub mod secrets;

pub use artifacts::{ArtifactError, Artifacts, PeerBytes, Peers, Upload};
pub use gateways::{GatewayLease, GatewayTable, Gateways};
pub use jobs::{JobLease, Jobs, JobsError};
pub use key_value::{KeyValue, KeyValueError};
pub use membership::{Lease, Membership, MembershipError};
pub use queues::{Queue, QueueError, Queues};
pub use registry::{Deployment, NewRevision, Registry, RegistryError, Settled, Snapshot};
pub use secrets::{SecretError, Secrets, Vault};
