//! A simulation of a cluster: the gateway's own choice of hosts, against hosts, functions and time that are made up.
//!
//! It is a package of its own and not part of `benches`, which links the runtime and with it wasmtime: this needs nothing but
//! the gateway, builds in a fraction of the time, and its small run is a test like any other.
//!
//! [`run`] is the page to read: arrivals and ends of invocations in order of time, as a heap has them. [`workload`] says where
//! the load's numbers come from.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error should stop there"))]

pub mod chart;
pub mod hosts;
pub mod report;
pub mod run;
pub mod workload;
