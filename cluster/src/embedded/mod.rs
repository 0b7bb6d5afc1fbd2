//! One machine's backend: a data directory that one process holds, with the registry, functions' values and sealed
//! secrets in redb, and artifacts in files.
//!
//! Everything that is acknowledged is on disk: files are written to a temporary name, synced, renamed, and their
//! directory is synced; commits of the registry are synced by redb, and those of values by a log in front of it.

mod artifacts;
mod data_dir;
mod gateways;
mod jobs;
mod key_value;
mod membership;
mod registry;
mod secrets;

pub use artifacts::EmbeddedArtifacts;
pub use data_dir::{DataDir, DataDirError, FORMAT};
pub use gateways::EmbeddedGateways;
pub use jobs::EmbeddedJobs;
pub use key_value::{EmbeddedKeyValue, KeyValueConfig};
pub use membership::EmbeddedMembership;
pub use registry::EmbeddedRegistry;
pub use secrets::EmbeddedSecrets;

#[cfg(test)]
mod tests;
