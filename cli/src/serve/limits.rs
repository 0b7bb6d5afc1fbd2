//! What the system allows this process, and what the host is made for accordingly.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use samovar_runtime::CODE_SHARE;
use samovar_runtime::machine::{Capacity, Machine, Shortage};

use super::HostOptions;
use crate::human;

/// Allows as many open files as the system lets this process have: each connection is one, and so is each loaded component.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

/// Keeps this process to pages of the ordinary size. Instances touch a few pages here and there in memories of their own, and
/// each of those would become 2 MiB where the kernel makes them huge.
pub(crate) fn small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "instances may take more memory than they need: huge pages cannot be turned off");
    }
}

/// What the host is made for.
pub(crate) struct Limits {
    pub(crate) capacity: Capacity,
    pub(crate) memory_budget_bytes: u64,
    pub(crate) code_budget_bytes: u64,
    pub(crate) outbound_roots: Vec<CertificateDer<'static>>,
}

impl Limits {
    /// Fits what was asked for to the machine, and says where the machine has less.
    ///
    /// # Errors
    /// When a file that was named cannot be read.
    pub(crate) fn look(args: &HostOptions, connections: usize) -> anyhow::Result<Self> {
        let machine = Machine::look();
        let memory_budget_bytes = args.memory_budget.map_or_else(|| machine.memory_budget(), |size| size.as_bytes());
        if memory_budget_bytes > machine.memory_bytes {
            tracing::warn!(
                "--memory-budget {} is more than the {} that this process may have: give less, or raise the limit of its \
                 cgroup",
                human::size(memory_budget_bytes),
                human::size(machine.memory_bytes)
            );
        }
        let code_budget_bytes = args.code_budget.map_or(memory_budget_bytes / CODE_SHARE, |size| size.as_bytes());
        let asked = args.max_instances.unwrap_or_else(|| machine.instances(memory_budget_bytes));
        let (capacity, shortages) = machine.capacity(asked);
        for shortage in shortages {
            let warning = warning(asked, &capacity, shortage);
            tracing::warn!("{warning}");
        }
        let needed_files = connections as u64 + u64::from(capacity.components);
        if needed_files > machine.open_files {
            tracing::info!(
                "{} files may be open at once, and {} connections with {} loaded components would need {needed_files}: \
                 raise it with `ulimit -n` or LimitNOFILE=, if so many are to be",
                machine.open_files,
                connections,
                capacity.components
            );
        }
        tracing::info!(
            instances = capacity.instances,
            of_wasi_03 = capacity.wasi03,
            components = capacity.components,
            memory_budget = human::size(memory_budget_bytes),
            code_budget = human::size(code_budget_bytes),
            "room on this machine, at the most"
        );
        let outbound_roots = args.outbound_roots()?;
        Ok(Self { capacity, memory_budget_bytes, code_budget_bytes, outbound_roots })
    }
}

/// What is short and what to do about it.
fn warning(asked: u32, capacity: &Capacity, shortage: Shortage) -> String {
    let had = format!("room for {} instances instead of {asked}", capacity.instances);
    match shortage {
        Shortage::Mappings(needed) => {
            format!("{had}: memory mappings are short; `sysctl vm.max_map_count={needed}` would do")
        }
        Shortage::AddressSpace(needed) => format!(
            "{had}: address space is short, of which each instance reserves 8 GiB; without `ulimit -v` there is room for \
             about 14,000, and {asked} would need {}",
            human::size(needed)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_what_to_change() {
        let capacity = Capacity { instances: 9_000, wasi03: 1_000, components: 256, mappings: 50_000 };
        let text = warning(10_000, &capacity, Shortage::Mappings(70_000));
        assert_eq!(
            text,
            "room for 9000 instances instead of 10000: memory mappings are short; `sysctl vm.max_map_count=70000` would do"
        );
    }
}
