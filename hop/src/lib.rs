//! How members of a cluster speak to hosts: HTTP/2 over TCP, on connections that both ends have proven to belong to the cluster.
//!
//! ```text
//! connect -> (TLS) -> hello, welcome -> proof -> requests, many at once
//! ```
//!
//! A connection is to one run of one host for as long as it lives: the welcome tells the host's name and boot epoch, so that
//! no request has to ask. What a request and its answer say beside plain HTTP is in [`message`].
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error should stop there"))]

pub mod client;
pub mod connect;
mod drive;
mod greeter;
mod greeting;
pub mod identity;
mod merge;
pub mod message;
mod pings;
mod received;
mod requests;
mod sending;
pub mod serve;
mod stream;

pub use client::{SendError, Sender};
pub use connect::{ConnectError, Connector, Link};
pub use greeting::Welcome;
pub use identity::{Identity, IdentityError, TlsFiles};
pub use received::Received;
pub use serve::{Handler, HostName, serve};

#[cfg(test)]
mod tests;
