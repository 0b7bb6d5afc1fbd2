//! What the load comparison is made of: servers in processes of their own, a load generator, and the CPU time they used.
//!
//! ```text
//! peers (how each is started) -> cases (what is asked) -> rounds (in turn, medians) -> report (JSON -> tables, charts)
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what went wrong by failing"))]

pub mod cases;
pub mod component;
pub mod cores;
pub mod guest_alone;
pub mod hyper_alone;
pub mod in_memory;
pub mod load;
pub mod local;
pub mod machine;
pub mod node;
mod order;
pub mod peers;
pub mod percentile;
pub mod report;
pub mod rounds;
pub mod seed;
pub mod server;
