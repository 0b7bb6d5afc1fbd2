//! The end-to-end tests, one theme a module, all against the real binary.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod calls;
mod cli;
mod control_api;
mod density;
mod deploying;
mod deploys;
mod durability;
mod examples;
mod fairness;
mod faults;
mod gateway_http;
mod hostile;
mod hostile_callers;
mod jobs;
mod languages;
mod limits;
mod logs_and_stats;
mod outbound;
mod overload;
mod reach;
mod refusals;
mod routes;
mod sandbox;
mod scaling;
mod secrets;
mod serving;
mod shutdown;
mod streaming;
mod wasi03;
