//! The thread that looks at how much memory the process has, and lets go of what is idle before it is too much.

use std::sync::{Arc, Weak};
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
    if let Some(bytes) = resident_bytes() {
        host.memory().sampled(bytes.saturating_sub(host.reusable_bytes()));
    }
}

/// What the process has resident, with the page tables that it takes.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kib("VmRSS:")? + kib("VmPTE:").unwrap_or(0)) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_seen() {
        let before = resident_bytes().expect("this system has /proc");
        let touched = vec![1_u8; 32 << 20];
        let after = resident_bytes().expect("this system has /proc");
        assert!(after >= before + (30 << 20), "{before} {after} {}", touched.len());
    }
}
