//! The host's memory: how much there may be, how much there is, and what is let go when it runs short.
//!
//! Two figures are looked at, and the larger one counts:
//! - what is **resident**: sampled by a thread ([`crate::pressure`]), with page tables, without what the engines' pools keep
//!   ready for the next instance;
//! - what is **promised**: every live instance, the memory that guests have asked for since they were started, and the code
//!   that is loaded. It tells what will be resident soon, so that twenty guests that grow between two samples are not all let
//!   in.
//!
//! When there is not enough, idle instances go, the one that was used longest ago first; then code, of the least value first;
//! then invocations that need an instance are shed, and guests that ask for more memory are stopped, with a fault that says
//! that it was the host's doing. Guests that need nothing more go on.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

use crate::code::cache::CodeCache;

/// What an instance costs while it has asked for nothing: measured with small components, of which the SDK's hello keeps 68
/// KiB resident, page tables besides.
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

    /// Sees to it that `more` bytes fit, by letting go of what is idle if need be. False when they do not.
    pub(crate) fn make_room(&self, more: u64) -> bool {
        if self.missing(more) == 0 {
            return true;
        }
        if let Some(relief) = self.relief.get().and_then(Weak::upgrade) {
            relief.relieve(more);
        }
        self.missing(more) == 0
    }

    /// Room for one more instance of a function whose instances are known to ask for as much as `demand`.
    ///
    /// # Errors
    /// Why there is none. Nothing idle is let go for want of instances: that is for the caller to choose.
    pub(crate) fn enter(self: &Arc<Self>, demand: &Arc<Demand>) -> Result<Share, NoRoom> {
        // A function that could never fit beside others is let in when there are none.
        let expected = self.make_room(INSTANCE_BYTES + demand.most_bytes());
        let alone = || self.instances() == 0 && self.make_room(0);
        if !(expected || alone()) {
            return Err(NoRoom::Memory);
        }
        let more = |live: u64| (live < self.max_instances).then_some(live + 1);
        let others = self.instances.fetch_update(Relaxed, Relaxed, more).map_err(|_| NoRoom::Instances)?;
        self.code.beside(others + 1);
        self.moved(INSTANCE_BYTES, true);
        Ok(Share { memory: Arc::clone(self), demand: Arc::clone(demand), grown_bytes: 0 })
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

/// What an instance is given to live in: a number that no other instance has, and its share of the memory.
pub(crate) struct Place {
    pub(crate) id: u64,
    pub(crate) share: Share,
}

/// One instance's share of its host's memory; given back when dropped.
pub(crate) struct Share {
    memory: Arc<HostMemory>,
    demand: Arc<Demand>,
    grown_bytes: u64,
}

impl Share {
    /// Asks for more.
    ///
    /// # Errors
    /// When the host has no more to give.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), HostShort> {
        if !self.memory.make_room(bytes) {
            return Err(HostShort);
        }
        self.memory.grown_bytes.fetch_add(bytes, Relaxed);
        self.memory.moved(bytes, true);
        self.grown_bytes += bytes;
        self.demand.0.fetch_max(self.grown_bytes, Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let alive = self.memory.instances.fetch_sub(1, Relaxed);
        self.memory.code.instances_are(alive - 1);
        self.memory.grown_bytes.fetch_sub(self.grown_bytes, Relaxed);
        self.memory.moved(INSTANCE_BYTES + self.grown_bytes, false);
    }
}

#[cfg(test)]
mod tests;
