//! What Samovar's processes share, each behind a small trait: the [`Registry`] of functions and the store of
//! [`Artifacts`]. `embedded` keeps them in one process, in redb and files.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error should stop there"))]

pub mod artifacts;
#[cfg(test)]
mod contract;
mod durable;
pub mod embedded;
pub mod garbage;
pub mod nats;
pub mod registry;
mod rules;

pub use artifacts::{ArtifactError, Artifacts, Upload};
pub use registry::{Deployment, NewRevision, Registry, RegistryError, Snapshot};
