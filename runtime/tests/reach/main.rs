//! What guests reach through the standard interfaces, on a host in this process whose buckets are in memory.
//!
//! The guests must be built before: `make guests`.

#[path = "../shared/host.rs"]
mod host;
#[path = "../shared/in_memory.rs"]
mod in_memory;
mod key_value;
mod rig;
mod settings;
