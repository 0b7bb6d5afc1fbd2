//! A guest does the same whether it is linked directly or run as a component: what it answers, what its callers are told when it
//! goes wrong, and what is in its log.
//!
//! Every test has two hosts, one of each kind, that get the same functions and the same calls. The guest `abi` calls the host in
//! every way there is; the others are those of the end-to-end tests. They must be built before: `make guests`.

mod abi;
mod call;
mod forms;
mod guests;
#[path = "../shared/host.rs"]
mod host;
#[path = "../shared/in_memory.rs"]
mod in_memory;
mod joined;
mod other;
mod outcome;
mod pair;
