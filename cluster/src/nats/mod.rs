//! What Samovar's processes share, in NATS JetStream 2.12 or later: many processes on many machines, none of them needed
//! by the others. Nothing outside this folder names NATS.
//!
//! Requests never wait for NATS: the registry and the membership are tables in memory, which a task keeps up to date and
//! which stay as they are while NATS is away.

mod artifacts;
mod buckets;
mod commit;
mod commits;
mod config;
mod connection;
mod entry;
mod garbage;
mod gateways;
mod host_table;
mod identity;
mod jobs;
mod judge;
mod key_value;
mod lease;
mod link;
mod lock;
mod member_table;
mod membership;
mod queues;
mod record;
mod registry;
mod said;
mod secret_table;
mod secrets;
mod servers;
mod snapshot_file;
mod stream;
mod table;
mod trouble;
mod watcher;

pub use artifacts::NatsArtifacts;
pub use config::{ClientCertificate, NatsConfig};
pub use connection::{Nats, NatsError};
pub use gateways::NatsGateways;
pub use jobs::NatsJobs;
pub use key_value::NatsKeyValue;
pub use membership::NatsMembership;
pub use queues::NatsQueues;
pub use registry::NatsRegistry;
pub use secrets::NatsSecrets;

#[cfg(test)]
mod tests;
