//! Requests without a caller who waits: those that are stored because their caller prefers so, and those that a schedule makes.
//!
//! ```text
//! prefer: respond-async -> accept -> the store -> 202
//! scheduler ----------------------^      |
//!                                        v
//!                                     runner -> dispatch to a host -> the store
//! GET /.well-known/samovar/jobs/ID -> look
//! ```

mod accept;
mod look;
mod prefer;
mod runner;
mod scheduler;

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use samovar_cluster::Jobs;
use tokio::sync::Semaphore;

pub(crate) use look::path_of;
pub(crate) use prefer::asks_for_later;

/// Where jobs are looked at: an id follows, and `/answer` for the answer itself.
pub const PATH: &str = "/.well-known/samovar/jobs/";

/// The largest body of a request that is stored.
const MAX_REQUEST_BYTES: u64 = 32 << 20;
/// What the bodies may take that are being received to be stored, in units of 1 KiB.
const RECEIVING_KIB: usize = 128 << 10;

/// The store of a gateway that has one.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Jobs>,
    /// Memory for bodies that are being received.
    room: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn new(store: Arc<dyn Jobs>) -> Self {
        Self { store, room: Arc::new(Semaphore::new(RECEIVING_KIB)) }
    }

    /// Appends what there is to measure in Prometheus' text form.
    pub(crate) fn metrics(&self, out: &mut String) {
        let counts = self.store.counts();
        let mut write = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to a string cannot fail");
        write(format_args!("# HELP samovar_jobs Jobs by where they stand.\n# TYPE samovar_jobs gauge\n"));
        for (state, count) in &counts.states {
            write(format_args!("samovar_jobs{{state=\"{state}\"}} {count}\n"));
        }
        let age = counts.oldest_due.map_or(0.0, |due| Timestamp::now().duration_since(due).as_secs_f64().max(0.0));
        write(format_args!(
            "# HELP samovar_jobs_oldest_due_seconds How long the job has been due that waits for the longest time.\n\
             # TYPE samovar_jobs_oldest_due_seconds gauge\nsamovar_jobs_oldest_due_seconds {age:.3}\n\
             # HELP samovar_jobs_bytes What requests and answers take that are stored.\n\
             # TYPE samovar_jobs_bytes gauge\nsamovar_jobs_bytes {}\n",
            counts.bytes
        ));
    }
}
