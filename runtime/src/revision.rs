//! A revision as one host runs it: its code, its warm pool, where it logs and what it may reach.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use http::HeaderValue;
use samovar_model::{FunctionName, RevisionId, Settings};
use tokio_util::task::TaskTracker;

use crate::answer::Leased;
use crate::code::Code;
use crate::code::cache::{CodeCache, CodeHome, CodeSlot};
use crate::habit::Habit;
use crate::host::{Host, Inner};
use crate::instance::{Blueprint, Instance};
use crate::interfaces::{Granted, Services};
use crate::lane::Lane;
use crate::logs::LogStore;
use crate::memory::{Demand, HostMemory};
use crate::pool::{Pool, PoolConfig};
use crate::room::Room;
use crate::stats::Counters;

/// A revision on this host. While anything holds one, requests can be sent to it; when the last holder lets go, its idle
/// instances go too, and those at work when they are done.
pub struct Revision {
    pub(crate) id: RevisionId,
    pub(crate) spec: Arc<samovar_model::Revision>,
    /// The revision's number as a header's value, made once.
    pub(crate) header: HeaderValue,
    /// Loaded at first use, and let go when it is worth least.
    pub(crate) code: CodeSlot,
    /// Whether its code was seen on disk: looking again for each request would cost a system call.
    pub(crate) is_prepared: AtomicBool,
    memory: Arc<HostMemory>,
    demand: Arc<Demand>,
    pub(crate) pool: Arc<Pool<Instance>>,
    pub(crate) counters: Arc<Counters>,
    /// For guests that work on after their answer.
    pub(crate) background: TaskTracker,
    /// For guests that compute for long.
    pub(crate) lane: Arc<Lane>,
    /// Whether its guests do.
    pub(crate) habit: Habit,
    granted: Arc<Granted>,
    /// Only asked for where there is no warm instance: to hold it for each invocation would touch a count that all cores share.
    host: Weak<Inner>,
}

/// What a revision shares with the others on its host.
pub(crate) struct Surroundings<'a> {
    pub(crate) host: Weak<Inner>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) logs: &'a LogStore,
    pub(crate) services: Services<'a>,
    pub(crate) background: TaskTracker,
    pub(crate) lane: Arc<Lane>,
    /// Where instances live.
    pub(crate) room: &'a Arc<Room>,
    pub(crate) codes: &'a Arc<CodeCache>,
    pub(crate) memory: &'a Arc<HostMemory>,
}

impl Revision {
    pub(crate) fn new(function: &FunctionName, spec: Arc<samovar_model::Revision>, around: Surroundings<'_>) -> Self {
        let settings = &spec.settings;
        let sink = around.logs.sink(function, spec.number);
        let granted = Granted::new(function, settings, &around.services, sink);
        Self {
            id: RevisionId { function: function.clone(), number: spec.number },
            header: HeaderValue::from(spec.number.0),
            code: around.codes.slot(),
            is_prepared: AtomicBool::new(false),
            memory: Arc::clone(around.memory),
            demand: Arc::default(),
            pool: Pool::new(PoolConfig::new(&settings.scale, settings.isolation, spec.kind), around.room),
            counters: around.counters,
            background: around.background,
            lane: around.lane,
            habit: Habit::default(),
            granted,
            spec,
            host: around.host,
        }
    }

    /// An instance that waits for an invocation, if there is one.
    pub(crate) fn warm(self: &Arc<Self>) -> Option<Leased> {
        loop {
            let (instance, permit) = self.pool.warm()?;
            // One that ended while it was idle goes with its permit.
            if instance.may_serve() {
                self.code.used();
                return Some(Leased { instance, permit, is_cold: false });
            }
        }
    }

    /// The host, unless it is gone.
    pub(crate) fn host(&self) -> Option<Host> {
        self.host.upgrade().map(Host::from_inner)
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.spec.settings
    }

    /// Its name.
    pub fn id(&self) -> &RevisionId {
        &self.id
    }

    pub(crate) fn blueprint<'a>(&'a self, code: &'a Code) -> Blueprint<'a> {
        Blueprint {
            code,
            settings: self.settings(),
            granted: &self.granted,
            lane: &self.lane,
            memory: &self.memory,
            demand: &self.demand,
        }
    }

    /// Drops the instances that wait for an invocation.
    pub(crate) fn drop_idle(&self) {
        while let Some(instance) = self.pool.evict() {
            drop(instance);
        }
    }
}

impl CodeHome for Revision {
    fn may_let_go(&self) -> bool {
        let now = self.pool.occupancy();
        // Instances that are to be warm at all times would have it loaded again at once.
        now.busy == 0 && now.queued == 0 && self.settings().scale.min_warm == 0
    }

    fn let_go(&self) {
        self.code.clear();
        self.drop_idle();
    }
}

impl Drop for Revision {
    fn drop(&mut self) {
        self.pool.close();
    }
}
