//! The thread that looks at how much memory the process has, and lets go of what is idle before it is too much.

use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use crate::host::{Host, Inner};
use crate::memory::HostMemory;

/// How often, while there is plenty.
const CALM: Duration = Duration::from_millis(100);

/// How often once more than half of the budget is used.
const ALERT: Duration = Duration::from_millis(10);

/// This part of the budget is kept free: what guests may come to touch between two samples without having asked for it.
const RESERVE: u64 = 16;

/// Takes the first sample, and starts the thread, which ends when the host is gone.
pub(crate) fn watch(host: &Host) -> std::io::Result<()> {
    let inner = Arc::downgrade(host.inner());
    sample(host);
    // What an instance drops may expect to be within the runtime.
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("samovar-memory".into()).spawn(move || {
        let _entered = runtime.enter();
        while let Some(pause) = look(&inner) {
            std::thread::sleep(pause);
        }
    })?;
    Ok(())
}

fn look(host: &Weak<Inner>) -> Option<Duration> {
    let host = Host::from_inner(host.upgrade()?);
    sample(&host);
    let memory: &HostMemory = host.memory();
    let budget = memory.budget_bytes();
    if memory.missing(budget / RESERVE) > 0 {
        memory.make_room(budget / RESERVE);
    }
    Some(if memory.used_bytes() > budget / 2 { ALERT } else { CALM })
}

fn sample(host: &Host) {
    // Without /proc only what is promised counts.
    if let Some(resident) = Resident::now() {
        let files = program_bytes() + host.memory().code_bytes();
        host.memory().sampled(resident.bytes(files).saturating_sub(host.reusable_bytes()));
    }
}

/// What the process has resident.
#[derive(Debug, Clone, Copy)]
struct Resident {
    /// Its own, with the page tables that it takes.
    own_bytes: u64,
    /// Pages of files, as often as they are mapped: each instance has its component's memory image mapped, and most of it stays as it
    /// is in the file.
    mapped_bytes: u64,
}

impl Resident {
    fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
        };
        let own_bytes = bytes("RssAnon:")? + bytes("RssShmem:").unwrap_or(0) + bytes("VmPTE:").unwrap_or(0);
        Some(Self { own_bytes, mapped_bytes: bytes("RssFile:")? })
    }

    /// All of it, of files no more than they are large.
    fn bytes(self, files: u64) -> u64 {
        self.own_bytes + self.mapped_bytes.min(files)
    }
}

/// How large the program is, which is the one large file that is mapped beside compiled code.
fn program_bytes() -> u64 {
    static BYTES: LazyLock<u64> = LazyLock::new(|| {
        let file = std::env::current_exe().and_then(std::fs::metadata);
        file.map_or(u64::MAX / 2, |file| file.len())
    });
    *BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_seen() {
        let before = Resident::now().expect("this system has /proc");
        let touched = vec![1_u8; 32 << 20];
        let after = Resident::now().expect("this system has /proc");
        let (before, after) = (before.bytes(0), after.bytes(0));
        assert!(after >= before + (30 << 20), "{before} {after} {}", touched.len());
    }

    #[test]
    fn a_file_that_is_mapped_often_counts_once() {
        let resident = Resident { own_bytes: 5, mapped_bytes: 1000 };
        assert_eq!((resident.bytes(100), resident.bytes(2000)), (105, 1005));
        assert!(program_bytes() > 1 << 20);
    }
}
