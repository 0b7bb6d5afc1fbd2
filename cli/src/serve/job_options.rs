//! How jobs are kept and run.

use std::num::NonZeroUsize;

use clap::Args;
use samovar_model::ByteSize;

/// What jobs may use.
#[derive(Debug, Args)]
pub(crate) struct JobOptions {
    /// The most jobs that this process runs at once, of all functions together
    #[arg(long = "jobs-at-once", value_name = "NUMBER", default_value = "32")]
    pub(crate) at_once: NonZeroUsize,
    /// The most bytes that jobs may take with their requests and answers, in a cluster those of all gateways; past it requests
    /// are not taken as jobs
    #[arg(long = "jobs-max-bytes", value_name = "SIZE", default_value = "1GiB")]
    pub(crate) max_bytes: ByteSize,
}
