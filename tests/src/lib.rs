//! The harness of the end-to-end tests. It starts the real `samovar` binary on free ports with a directory of its own,
//! deploys guests through the control API, and calls them over HTTP as anybody would:
//!
//! ```no_run
//! # async fn test() {
//! let node = samovar_tests::Node::start().await;
//! node.deploy("echo").await;
//! let answer = node.call("/echo").body("x").send().await;
//! assert_eq!(answer.text(), "x");
//! # }
//! ```
//!
//! Two things must be built before: the binary (`cargo build -p samovar-cli`, or name another one in `SAMOVAR_BIN`) and
//! the guests (`make guests`). `make test` does both.
//!
//! Everything here panics with words when it cannot go on, since that is how a test fails.

mod apart;
mod api;
mod backend;
mod call;
mod callers;
mod cli;
mod cluster;
mod deploy;
mod inbox;
mod load;
mod node;
mod paths;
mod process;
mod raw;
mod tally;
pub mod trial;
mod wait;

pub use api::Api;
pub use backend::{Backend, Silent};
pub use call::{Answer, Call, Streaming};
pub use callers::Callers;
pub use cli::{Cli, Printed};
pub use cluster::{Clock, Cluster, ClusterBuilder, Disk, HostSeen, Link, Member, Network, Place, Role, Who};
pub use deploy::{Function, Refused, core_module, with_custom_section};
pub use inbox::{Inbox, Seen};
pub use load::{Answered, Failure, Load, LoadBuilder, Outcome, Record, Report, Window};
pub use node::{Node, NodeBuilder, NotStarted, Stopped};
pub use paths::{binary, guest, repository};
pub use process::{Launch, Process};
pub use raw::{Raw, RawAnswer};
pub use tally::Tally;
pub use wait::{DEADLINE, eventually, within};
