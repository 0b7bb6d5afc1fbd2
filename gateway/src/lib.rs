//! The HTTP edge: accepts connections, routes each request to a function's revision, and passes it to a host.
//!
//! Start at [`service`], the request's way. What runs functions is behind the [`Dispatcher`] trait: the host in the same
//! process, or hosts elsewhere.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error should stop there"))]

pub mod balance;
mod calls;
mod config;
mod connection;
mod dispatcher;
pub mod jobs;
mod listener;
mod problem;
mod queues;
pub mod remote;
mod routes;
pub mod service;
mod stats;
mod targets;

pub use calls::{CallBody, Calls};
pub use config::GatewayConfig;
pub use dispatcher::{Dispatcher, RequestBody};
pub use routes::{Found, RouteTable};
pub use service::Gateway;
