//! The control API through its router, over the embedded registry and artifacts and a platform that the tests steer.
#![allow(clippy::unwrap_used, reason = "a test that meets an error should stop there")]

mod access;
mod amends;
mod artifacts;
mod deploys;
mod functions;
mod harness;
mod hosts;
mod jobs;
mod key_value;
mod observe;
mod platform;
mod queues;
mod secrets;
