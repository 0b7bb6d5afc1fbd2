//! The commands of a cluster: one process for each role, and what looks after hosts.

pub(crate) mod control;
pub(crate) mod drain;
pub(crate) mod gateway;
pub(crate) mod host;
pub(crate) mod hosts;
