//! The host's memory: how much there may be, how much there is, and what is let go when it runs short.
//!
//! Two figures are looked at, and the larger one counts:
//! - what is **resident**: sampled by a thread ([`crate::pressure`]), with page tables, without what the engines' pools keep
//!   ready for the next instance, and what instances share only once;
//! - what is **promised**: every live instance, the memory that guests have asked for since they were started, and the code
//!   that is loaded. It tells what will be resident soon, so that twenty guests that grow between two samples are not all let
//!   in.
//!
//! When there is not enough, idle instances go, the one that was used longest ago first; then code, of the least value first;
//! then invocations that need an instance are shed, and guests that ask for more memory are stopped, with a fault that says
//! that it was the host's doing. Guests that need nothing more go on.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::code::cache::CodeCache;

/// What an instance is expected to cost while it has asked for nothing. Measured with small components: 46 KiB for the SDK's hello
/// after a call, and 14 KiB of page tables; others touch more of the memory that they begin with.
pub(crate) const INSTANCE_BYTES: u64 = 96 << 10;

/// A guest was refused memory because its host has none left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host is short of memory")]
pub(crate) struct HostShort;

/// Why there can be no further instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// As many instances are alive as may be.
    Instances,
    /// The memory does not suffice.
    Memory,
}

/// Whoever holds what can be let go.
pub(crate) trait Relief: Send + Sync {
    /// Lets go until `more` bytes fit, or nothing is left that may go.
    fn relieve(&self, more: u64);
}

/// The memory of one host.
pub(crate) struct HostMemory {
    budget_bytes: u64,
    max_instances: u64,
    /// Resident before there were any guests.
    base_bytes: AtomicU64,
    instances: AtomicU64,
    /// What guests have asked for since they were started.
    grown_bytes: AtomicU64,
    resident_bytes: AtomicU64,
    /// What was granted since `resident_bytes` was sampled, less what was given back.
    since_sample: AtomicI64,
    /// Held from looking whether something fits until it is counted, so that no two things fit in the same place.
    granting: Mutex<()>,
    code: Arc<CodeCache>,
    relief: OnceLock<Weak<dyn Relief>>,
}

impl HostMemory {
    pub(crate) fn new(budget_bytes: u64, max_instances: u32, code: Arc<CodeCache>) -> Arc<Self> {
        Arc::new(Self {
            budget_bytes,
            max_instances: max_instances.into(),
            base_bytes: AtomicU64::new(0),
            instances: AtomicU64::new(0),
            grown_bytes: AtomicU64::new(0),
            resident_bytes: AtomicU64::new(0),
            since_sample: AtomicI64::new(0),
            granting: Mutex::new(()),
            code,
            relief: OnceLock::new(),
        })
    }

    /// Says who can let go of something.
    pub(crate) fn relieved_by(&self, relief: Weak<dyn Relief>) {
        // There is one host, which says so once.
        drop(self.relief.set(relief));
    }

    pub(crate) fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    pub(crate) fn instances(&self) -> u64 {
        self.instances.load(Relaxed)
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_bytes.load(Relaxed)
    }

    /// How large the loaded code is.
    pub(crate) fn code_bytes(&self) -> u64 {
        self.code.used_bytes()
    }

    /// What is promised, see the top of this file.
    pub(crate) fn promised_bytes(&self) -> u64 {
        let guests = self.instances() * INSTANCE_BYTES + self.grown_bytes.load(Relaxed);
        self.base_bytes.load(Relaxed) + guests + self.code.used_bytes()
    }

    /// What is in use: the larger one of the two figures.
    pub(crate) fn used_bytes(&self) -> u64 {
        let sampled = self.resident_bytes().saturating_add_signed(self.since_sample.load(Relaxed));
        sampled.max(self.promised_bytes())
    }

    /// How much is missing before `more` fits.
    pub(crate) fn missing(&self, more: u64) -> u64 {
        self.used_bytes().saturating_add(more).saturating_sub(self.budget_bytes)
    }

    /// Takes a new sample of what is resident.
    pub(crate) fn sampled(&self, resident_bytes: u64) {
        // The first is taken before there are guests.
        if self.base_bytes.load(Relaxed) == 0 {
            self.base_bytes.store(resident_bytes, Relaxed);
        }
        self.resident_bytes.store(resident_bytes, Relaxed);
        self.since_sample.store(0, Relaxed);
    }

    /// Lets go of what is idle if need be, so that `more` bytes would fit.
    pub(crate) fn make_room(&self, more: u64) {
        self.once_there_is_room(more, || ());
    }

    /// Does this, which is to count `more` bytes, once they fit; lets go of what is idle if need be. `None` when they do not.
    fn once_there_is_room<T>(&self, more: u64, count: impl Fn() -> T) -> Option<T> {
        let counted = || {
            let _granting = self.granting.lock().unwrap_or_else(PoisonError::into_inner);
            (self.missing(more) == 0).then(&count)
        };
        counted().or_else(|| {
            self.relief.get().and_then(Weak::upgrade)?.relieve(more);
            counted()
        })
    }

    /// Room for one more instance of a function whose instances are known to ask for as much as `demand`.
    ///
    /// # Errors
    /// Why there is none. Nothing idle is let go for want of instances: that is for the caller to choose.
    pub(crate) fn enter(self: &Arc<Self>, demand: &Arc<Demand>) -> Result<Share, NoRoom> {
        // A function that could never fit beside others is let in when there are none.
        let enter = |most: u64| {
            let more = |live: u64| (live < most).then_some(live + 1);
            let others = self.instances.fetch_update(Relaxed, Relaxed, more).map_err(|_| NoRoom::Instances)?;
            self.moved(INSTANCE_BYTES, true);
            Ok(others + 1)
        };
        let beside = self.once_there_is_room(INSTANCE_BYTES + demand.most_bytes(), || enter(self.max_instances));
        let alone = || self.once_there_is_room(0, || enter(1)).and_then(Result::ok);
        let entered = beside.or_else(|| alone().map(Ok)).unwrap_or(Err(NoRoom::Memory));
        self.code.beside(entered?);
        Ok(Share { memory: Arc::clone(self), demand: Arc::clone(demand), grown_bytes: AtomicU64::new(0) })
    }

    fn moved(&self, bytes: u64, up: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.since_sample.fetch_add(if up { bytes } else { -bytes }, Relaxed);
    }
}

/// What the instances of one revision have asked for so far, which is what the next one may be expected to.
#[derive(Default)]
pub(crate) struct Demand(AtomicU64);

impl Demand {
    fn most_bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One instance's share of its host's memory; given back when dropped.
pub(crate) struct Share {
    memory: Arc<HostMemory>,
    demand: Arc<Demand>,
    grown_bytes: AtomicU64,
}

impl Share {
    /// Asks for more.
    ///
    /// # Errors
    /// When the host has no more to give.
    pub(crate) fn grow(&self, bytes: u64) -> Result<(), HostShort> {
        let count = || {
            self.memory.grown_bytes.fetch_add(bytes, Relaxed);
            self.memory.moved(bytes, true);
        };
        self.memory.once_there_is_room(bytes, count).ok_or(HostShort)?;
        let grown_bytes = self.grown_bytes.fetch_add(bytes, Relaxed) + bytes;
        self.demand.0.fetch_max(grown_bytes, Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let alive = self.memory.instances.fetch_sub(1, Relaxed);
        self.memory.code.instances_are(alive - 1);
        let grown_bytes = *self.grown_bytes.get_mut();
        self.memory.grown_bytes.fetch_sub(grown_bytes, Relaxed);
        self.memory.moved(INSTANCE_BYTES + grown_bytes, false);
    }
}

#[cfg(test)]
mod tests;
