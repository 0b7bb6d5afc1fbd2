//! A host's settings.

use std::path::PathBuf;
use std::time::Duration;

/// What a host is started with.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Where compiled components are kept. A cache: it may be deleted whenever the host is not running. Only this host may
    /// be able to write there, since what it maps from there is run as machine code.
    pub compiled_dir: PathBuf,
    /// Where functions' logs are kept.
    pub logs_dir: PathBuf,
    /// The most instances that can be alive at once on this host, in each of its two engines. Costs address space (4 GiB
    /// each), not memory. Default 2,000.
    pub max_instances: u32,
    /// How often idle instances are looked through for those past their time. Default 250 ms.
    pub sweep_interval: Duration,
    /// How much of a function's log is kept on disk. Default 8 MiB.
    pub log_bytes_per_function: u64,
}

impl HostConfig {
    /// The defaults, with these two directories.
    pub fn new(compiled_dir: PathBuf, logs_dir: PathBuf) -> Self {
        Self {
            compiled_dir,
            logs_dir,
            max_instances: 2_000,
            sweep_interval: Duration::from_millis(250),
            log_bytes_per_function: 8 << 20,
        }
    }
}
