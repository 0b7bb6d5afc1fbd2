//! Which cores the servers have, and which one the load: where there are several, the last is the load's alone.
//!
//! A kernel charges whoever writes to a socket for waking its reader. So of two servers the one that answers more slowly would
//! also pay for a load generator that has gone to sleep meanwhile, and the faster one would not. Here the load never sleeps, and
//! no server's thread takes its place on the core or has to give way to it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core that is set aside for the load; none while it is this.
const NONE: usize = usize::MAX;

static SET_ASIDE: AtomicUsize = AtomicUsize::new(NONE);

/// A core is set aside for the load. Dropped, it is everybody's again.
pub struct Apart {
    before: CpuSet,
}

/// Sets the last core aside for the load: this thread, and all processes that it starts from now on, keep off it. Does nothing
/// where there is only one.
///
/// # Errors
/// When the system does not let this thread choose.
pub fn apart() -> anyhow::Result<Apart> {
    let before = sched_getaffinity(None).context("on which cores may this run?")?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
    if let [_, .., last] = allowed[..] {
        let mut others = before;
        others.unset(last);
        sched_setaffinity(None, &others).context("cannot keep servers off the load's core")?;
        SET_ASIDE.store(last, Relaxed);
    }
    Ok(Apart { before })
}

impl Drop for Apart {
    fn drop(&mut self) {
        SET_ASIDE.store(NONE, Relaxed);
        sched_setaffinity(None, &self.before).expect("it could be set before");
    }
}

/// Moves this thread to the core that is set aside. False when none is.
pub(crate) fn take() -> anyhow::Result<bool> {
    let core = SET_ASIDE.load(Relaxed);
    if core == NONE {
        return Ok(false);
    }
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).context("cannot take the core that was set aside")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_has_a_core_that_others_keep_off() {
        let all = sched_getaffinity(None).unwrap();
        let apart = apart().unwrap();
        let mine = sched_getaffinity(None).unwrap();
        let loads = std::thread::spawn(|| take().unwrap().then(|| sched_getaffinity(None).unwrap())).join().unwrap();
        match loads {
            Some(loads) => {
                assert_eq!(loads.count(), 1);
                assert_eq!(mine.count() + 1, all.count());
                assert!((0..CpuSet::MAX_CPU).all(|core| !(mine.is_set(core) && loads.is_set(core))));
            }
            None => assert_eq!(all.count(), 1),
        }
        drop(apart);
        assert_eq!(sched_getaffinity(None).unwrap(), all);
        assert!(!take().unwrap());
    }
}
