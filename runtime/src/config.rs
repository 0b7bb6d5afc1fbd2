//! A host's settings.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::engine::TICK;
use crate::machine::{Capacity, Machine};

/// This part of the memory budget is the default budget of code.
pub const CODE_SHARE: u64 = 4;

/// How components of WASI 0.2 are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Linking {
    /// As the one core module that most of them are made of, with functions of the host that need no component model between
    /// them: calls of the host cost less than half. What has another form runs as a component.
    #[default]
    Direct,
    /// As components, all of them.
    Component,
}

/// What a host is started with.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Where compiled components are kept. A cache: it may be deleted whenever the host is not running. Only this host may
    /// be able to write there, since what it maps from there is run as machine code.
    pub compiled_dir: PathBuf,
    /// Where functions' logs are kept.
    pub logs_dir: PathBuf,
    /// What the engines are made for, most of all the instances that can be alive at once. Costs mappings and address space,
    /// not memory. Default: what the machine allows, up to 10,000 instances.
    pub capacity: Capacity,
    /// The most memory that the process is to have, its page tables included. Past it idle instances go, then code, then
    /// invocations that need an instance are shed. Default: that of the cgroup or the machine, less an eighth.
    pub memory_budget_bytes: u64,
    /// The most compiled code that is kept loaded. Past it the code that is worth least goes, and is loaded again at its next
    /// call. Default: a quarter of the memory budget.
    pub code_budget_bytes: u64,
    /// How often idle instances are looked through for those past their time. Default 250 ms.
    pub sweep_interval: Duration,
    /// How often guests that compute are interrupted, to see whether their turn is over. Default [`TICK`], which is what their
    /// CPU time is counted in; it is for programs that count instructions to make this longer than they run.
    pub tick: Duration,
    /// How components of WASI 0.2 are run. What they do is the same; it is for tests that compare the two.
    pub linking: Linking,
    /// How much of a function's log is kept on disk. Default 8 MiB.
    pub log_bytes_per_function: u64,
    /// Certificates of authorities, in DER, that functions' requests trust beside those of Mozilla's list. Default none.
    pub outbound_roots: Vec<CertificateDer<'static>>,
}

impl HostConfig {
    /// The defaults on this machine, with these two directories.
    pub fn new(compiled_dir: PathBuf, logs_dir: PathBuf) -> Self {
        let machine = Machine::look();
        let memory_budget_bytes = machine.memory_budget();
        let (capacity, _) = machine.capacity(machine.instances(memory_budget_bytes));
        Self {
            compiled_dir,
            logs_dir,
            capacity,
            memory_budget_bytes,
            code_budget_bytes: memory_budget_bytes / CODE_SHARE,
            sweep_interval: Duration::from_millis(250),
            tick: TICK,
            linking: Linking::default(),
            log_bytes_per_function: 8 << 20,
            outbound_roots: Vec::new(),
        }
    }
}
