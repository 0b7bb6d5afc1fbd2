//! Real NATS servers for tests, on loopback or at an address of their own: [`Server`] is one, [`Servers`] are one or three
//! that replicate to each other. Each has a directory of its own, keeps its ports over a restart, and ends when dropped.
//!
//! The binary is what `scripts/nats-server` installs, or what `NATS_SERVER` names.
//!
//! Everything here panics with words when it cannot go on, since that is how a test fails.

mod monitoring;
mod server;
mod servers;

pub use server::{Builder, Server, await_stopped};
pub use servers::Servers;
