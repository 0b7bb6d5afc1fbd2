//! The end-to-end tests of a cluster, one theme a module: real members, real NATS servers.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod calls;
mod cold_start;
mod failures;
mod function_secrets;
mod jobs;
mod joining;
mod key_value;
mod network;
mod queues;
mod routing;
mod secrets;
