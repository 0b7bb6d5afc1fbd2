//! A host: runs functions in WebAssembly instances that are made in microseconds and kept warm.
//!
//! Start at [`Host::invoke`], the request's way.

mod answer;
mod body;
mod code;
pub mod component;
mod config;
mod direct;
mod driven;
mod eager;
mod engine;
mod guest;
mod habit;
mod host;
mod idle;
mod instance;
mod interfaces;
mod invocation;
mod invoking;
mod lane;
pub mod logs;
pub mod machine;
mod memory;
mod metrics;
mod pool;
mod pressure;
mod reach;
mod record;
mod request;
mod revision;
mod room;
pub mod serving;
mod stats;
mod sweeper;
mod turn;

pub use body::ResponseBody;
pub use code::{CodeError, Compiled};
pub use config::{CODE_SHARE, HostConfig, Linking};
pub use engine::TICK;
pub use host::Host;
pub use invoking::Invoking;
pub use reach::{CallBody, Calling, Functions, Reach};
pub use revision::Revision;
pub use stats::add_up;
