//! What the load comparison is made of: servers in processes of their own, a load generator, and the CPU time they used.

pub mod hyper_alone;
pub mod in_memory;
pub mod load;
pub mod local;
pub mod server;
