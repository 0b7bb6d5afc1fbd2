//! Whose code is loaded: loaded at the first call, kept while it is worth its memory, and let go when the budget is used up.
//!
//! ```text
//! absent -> loaded    at a call that finds no instance waiting; callers at the same time wait for one load
//! loaded -> absent    the budget is used up and this code is worth least; its idle instances go with it
//! ```
//! Code goes only while no invocation has an instance of it or waits for one. Whoever got hold of it just before keeps it
//! until its instance is made, and then puts it back ([`CodeSlot::keep`]): an eviction costs time, and never a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::Code;
use super::greedy_dual::{GreedyDual, Mark};
use crate::machine::{MAPS_PER_COMPONENT, MAPS_PER_MEMORY};

/// Whoever can have code loaded.
pub(crate) trait CodeHome: Send + Sync {
    /// Whether its code may go now: nothing runs in it.
    fn may_let_go(&self) -> bool;

    /// Lets go of the code and of everything idle that was made of it.
    fn let_go(&self);
}

/// What bounds the code that is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeLimits {
    pub(crate) bytes: u64,
    /// Each loaded component is an open file.
    pub(crate) components: usize,
    /// Mappings, of which each loaded component takes a few, and each live instance too.
    pub(crate) mappings: u64,
}

/// How the code that is loaded stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CodeUse {
    pub(crate) bytes: u64,
    pub(crate) components: usize,
    pub(crate) loads: u64,
    pub(crate) evictions: u64,
}

/// The code that is loaded on one host.
pub(crate) struct CodeCache {
    limits: CodeLimits,
    state: Mutex<State>,
    next_key: AtomicU64,
    loads: AtomicU64,
    evictions: AtomicU64,
    /// The sizes of what is loaded, for those who only want to know.
    used_bytes: AtomicU64,
    /// And how much is.
    components: AtomicU64,
    /// Instances alive on the host.
    instances: AtomicU64,
}

#[derive(Default)]
struct State {
    order: GreedyDual,
    homes: HashMap<u64, Weak<dyn CodeHome>>,
}

impl CodeCache {
    pub(crate) fn new(limits: CodeLimits) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        Arc::new(Self {
            limits,
            state: Mutex::default(),
            next_key: zero(),
            loads: zero(),
            evictions: zero(),
            used_bytes: zero(),
            components: zero(),
            instances: zero(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one revision's code.
    pub(crate) fn slot<C>(self: &Arc<Self>) -> CodeSlot<C> {
        CodeSlot {
            key: self.next_key.fetch_add(1, Relaxed),
            mark: self.lock().order.mark(),
            loaded: ArcSwapOption::empty(),
            loading: tokio::sync::Mutex::new(()),
            cache: Arc::clone(self),
        }
    }

    fn admit<C>(&self, slot: &CodeSlot<C>, home: Weak<dyn CodeHome>, loaded: &Loaded<C>) {
        let cost = u64::try_from(loaded.took.as_nanos()).unwrap_or(u64::MAX);
        {
            let mut state = self.lock();
            state.order.insert(slot.key, &slot.mark, loaded.size_bytes, cost);
            state.homes.insert(slot.key, home);
            self.tell(&state);
        }
        self.make_room(self.limits, Some(slot.key));
    }

    fn remove(&self, key: u64) {
        let mut state = self.lock();
        state.order.remove(key);
        state.homes.remove(&key);
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        self.used_bytes.store(state.order.used_bytes(), Relaxed);
        self.components.store(state.order.len() as u64, Relaxed);
    }

    /// How many components may be loaded beside the instances that are alive: each takes mappings.
    fn max_components(&self) -> u64 {
        let left = self.limits.mappings.saturating_sub(self.instances.load(Relaxed).saturating_mul(MAPS_PER_MEMORY));
        (self.limits.components as u64).min(left / MAPS_PER_COMPONENT)
    }

    /// Says how many instances are alive, which leaves more mappings than before.
    pub(crate) fn instances_are(&self, instances: u64) {
        self.instances.store(instances, Relaxed);
    }

    /// Lets go of code for which there are no mappings now that so many instances are alive.
    pub(crate) fn beside(&self, instances: u64) {
        self.instances_are(instances);
        if self.components.load(Relaxed) > self.max_components() {
            self.make_room(self.limits, None);
        }
    }

    /// Lets go of this much code, as far as there is any that may go. Answers how much it was.
    pub(crate) fn shrink(&self, bytes: u64) -> u64 {
        let before = self.used_bytes();
        self.make_room(CodeLimits { bytes: before.saturating_sub(bytes), ..self.limits }, None);
        before.saturating_sub(self.used_bytes())
    }

    /// The sizes of all that is loaded.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    /// Lets go of what is worth least, but not of `except`, until the rest is within the limits.
    fn make_room(&self, limits: CodeLimits, except: Option<u64>) {
        let mut victims = Vec::new();
        // Homes that were looked at. The last holder of a home must not let go of it while the state is locked.
        let mut held = Vec::new();
        let mut state = self.lock();
        while state.order.used_bytes() > limits.bytes || state.order.len() as u64 > self.max_components() {
            let State { order, homes } = &mut *state;
            let may_go = |key: u64| {
                let home = homes.get(&key).and_then(Weak::upgrade);
                let may_go = Some(key) != except && home.as_ref().is_none_or(|home| home.may_let_go());
                held.extend(home);
                may_go
            };
            let Some(key) = order.evict(may_go) else { break };
            victims.extend(homes.remove(&key).and_then(|home| home.upgrade()));
            self.evictions.fetch_add(1, Relaxed);
        }
        self.tell(&state);
        drop(state);
        for home in victims {
            home.let_go();
        }
    }

    /// The most that is kept loaded.
    pub(crate) fn budget_bytes(&self) -> u64 {
        self.limits.bytes
    }

    /// How the code stands now.
    pub(crate) fn usage(&self) -> CodeUse {
        let state = self.lock();
        CodeUse {
            bytes: state.order.used_bytes(),
            components: state.order.len(),
            loads: self.loads.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
        }
    }
}

/// Code that was loaded.
pub(crate) struct Loaded<C = Code> {
    pub(crate) code: C,
    pub(crate) size_bytes: u64,
    /// How long loading took: what it costs to be without it.
    pub(crate) took: Duration,
}

/// The place of one revision's code.
pub(crate) struct CodeSlot<C = Code> {
    key: u64,
    mark: Arc<Mark>,
    loaded: ArcSwapOption<Loaded<C>>,
    /// Held while it is being loaded.
    loading: tokio::sync::Mutex<()>,
    cache: Arc<CodeCache>,
}

impl<C> CodeSlot<C> {
    /// Counts a call: calls are what code is worth.
    pub(crate) fn used(&self) {
        self.mark.used();
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.loaded.load().is_none()
    }

    /// The code, loaded by `load` if it is not there.
    ///
    /// # Errors
    /// Those of `load`, which the next caller tries again.
    pub(crate) async fn get<H: CodeHome + 'static, E>(
        &self,
        home: &Arc<H>,
        load: impl Future<Output = Result<Loaded<C>, E>>,
    ) -> Result<Arc<Loaded<C>>, E> {
        if let Some(loaded) = self.loaded.load_full() {
            return Ok(loaded);
        }
        let _turn = self.loading.lock().await;
        if let Some(loaded) = self.loaded.load_full() {
            return Ok(loaded);
        }
        let loaded = Arc::new(load.await?);
        self.cache.loads.fetch_add(1, Relaxed);
        self.put(home, &loaded);
        Ok(loaded)
    }

    /// Puts code back that was let go while an instance of it was being made.
    pub(crate) fn keep<H: CodeHome + 'static>(&self, home: &Arc<H>, loaded: &Arc<Loaded<C>>) {
        if self.is_empty() {
            self.put(home, loaded);
        }
    }

    fn put<H: CodeHome + 'static>(&self, home: &Arc<H>, loaded: &Arc<Loaded<C>>) {
        self.loaded.store(Some(Arc::clone(loaded)));
        let home: Arc<dyn CodeHome> = Arc::clone(home) as _;
        self.cache.admit(self, Arc::downgrade(&home), loaded);
    }

    /// Lets go of it.
    pub(crate) fn clear(&self) {
        self.loaded.store(None);
    }
}

impl<C> Drop for CodeSlot<C> {
    fn drop(&mut self) {
        self.cache.remove(self.key);
    }
}

#[cfg(test)]
mod tests;
