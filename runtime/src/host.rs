//! A host, and a request's way through it: [`Host::invoke`], and `invoking.rs` from there.
//!
//! ```text
//! invoke -> lease a warm instance, or make one -> call the handler -> stream the answer
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use dashmap::DashMap;
use http::Request;
use http_body::Body;
use samovar_cluster::Artifacts;
use samovar_hop::message::StatsPart;
use samovar_model::{ComponentKind, Digest, Fault, FunctionName, FunctionStats, HostStats, RequestId, RevisionId};
use tokio_util::task::TaskTracker;

use crate::code::CodeStore;
use crate::code::attempts::Attempts;
use crate::code::cache::{CodeCache, CodeLimits};
use crate::config::HostConfig;
use crate::engine::Engines;
use crate::idle::IdleOrder;
use crate::interfaces::Services;
use crate::interfaces::outbound::OutboundClient;
use crate::invoking::Invoking;
use crate::lane::Lane;
use crate::logs::LogStore;
use crate::memory::{HostMemory, Relief};
use crate::metrics;
use crate::pressure;
use crate::reach::Reach;
use crate::record::Record;
use crate::revision::{Revision, Surroundings};
use crate::room::Room;
use crate::stats::Counters;
use crate::sweeper::{prewarm, sweep};

mod supply;

/// How many instances the engines can hold beyond those that have seats: those that a deploy tries out.
const SPARE_INSTANCES: u32 = 32;

/// A host: runs functions. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    code: Arc<CodeStore>,
    pub(crate) attempts: Arc<Attempts>,
    codes: Arc<CodeCache>,
    memory: Arc<HostMemory>,
    engines: Engines,
    idle: IdleOrder,
    artifacts: Arc<dyn Artifacts>,
    logs: LogStore,
    client: OutboundClient,
    reach: Reach,
    revisions: DashMap<RevisionId, Weak<Revision>>,
    /// The same, by function.
    live: DashMap<FunctionName, Vec<Weak<Revision>>>,
    counters: DashMap<FunctionName, Arc<Counters>>,
    next_instance: AtomicU64,
    /// Guests that work on after their answer: draining waits for them.
    background: TaskTracker,
    lane: Arc<Lane>,
    room: Arc<Room>,
    draining: AtomicBool,
}

impl Relief for Inner {
    fn relieve(&self, more: u64) {
        let revisions = || self.revisions();
        while self.memory.missing(more) > 0 && self.idle.evict(None, revisions).is_some() {}
        let missing = self.memory.missing(more);
        if missing > 0 {
            self.codes.shrink(missing);
        }
    }
}

impl Inner {
    fn revisions(&self) -> Vec<Arc<Revision>> {
        self.revisions.iter().filter_map(|entry| entry.value().upgrade()).collect()
    }
}

impl Host {
    /// Starts a host. It must be called within a tokio runtime, which then also sweeps idle instances.
    ///
    /// # Errors
    /// When a directory cannot be made, or the machine has no room for the engines' pools.
    pub fn start(config: HostConfig, artifacts: Arc<dyn Artifacts>, reach: Reach) -> wasmtime::Result<Self> {
        let mut capacity = config.capacity;
        let seats = capacity.instances as usize;
        let spare = capacity.instances.min(SPARE_INSTANCES);
        capacity.instances = capacity.instances.saturating_add(spare);
        capacity.wasi03 = capacity.wasi03.saturating_add(spare);
        let budget = config.memory_budget_bytes;
        let engines = Engines::start(capacity, budget, config.tick)?;
        let components = capacity.components as usize;
        let codes =
            CodeCache::new(CodeLimits { bytes: config.code_budget_bytes, components, mappings: capacity.mappings });
        let host = Self(Arc::new(Inner {
            code: Arc::new(CodeStore::open(config.compiled_dir, engines.clone(), config.linking)?),
            attempts: Arc::default(),
            memory: HostMemory::new(budget, capacity.instances, Arc::clone(&codes)),
            codes,
            engines,
            idle: IdleOrder::default(),
            artifacts,
            logs: LogStore::open(config.logs_dir, config.log_bytes_per_function)?,
            client: OutboundClient::new(&config.outbound_roots)?,
            reach,
            revisions: DashMap::new(),
            live: DashMap::new(),
            counters: DashMap::new(),
            next_instance: AtomicU64::new(1),
            background: TaskTracker::new(),
            lane: Arc::new(Lane::start(std::thread::available_parallelism().map_or(1, usize::from))?),
            room: Room::new(seats),
            draining: AtomicBool::new(false),
        }));
        let weak = Arc::downgrade(&host.0);
        host.0.memory.relieved_by(weak.clone() as _);
        pressure::watch(&host)?;
        tokio::spawn(sweep(weak, config.sweep_interval));
        Ok(host)
    }

    /// Answers a request with an instance of this revision.
    ///
    /// # Errors
    /// The [`Fault`] for which there is no answer, which has been counted and, where it is the function's own, logged.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, means that the caller is gone: the guest is stopped and its
    /// instance retired; a place in the queue is given up.
    pub fn invoke<B>(&self, revision: Arc<Revision>, request: Request<B>, id: RequestId) -> Invoking<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        self.invoke_since(Instant::now(), revision, request, id)
    }

    /// The same for a request that came at `started`, from which its deadline counts.
    pub(crate) fn invoke_since<B>(
        &self,
        started: Instant,
        revision: Arc<Revision>,
        request: Request<B>,
        id: RequestId,
    ) -> Invoking<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let mut record = Record::begin(revision, started);
        if self.0.draining.load(Ordering::Relaxed) {
            return Invoking::failed(record.failed(Fault::Draining));
        }
        Invoking::new(record, request, id)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn memory(&self) -> &HostMemory {
        &self.0.memory
    }

    /// What the engines keep resident for instances to come.
    pub(crate) fn reusable_bytes(&self) -> u64 {
        self.0.engines.reusable_bytes()
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn drop_dead_revisions(&self) {
        self.0.revisions.retain(|_, revision| revision.strong_count() > 0);
    }

    pub(crate) fn revisions(&self) -> Vec<Arc<Revision>> {
        self.0.revisions()
    }

    fn services(&self) -> Services<'_> {
        Services { client: &self.0.client, reach: &self.0.reach }
    }

    fn surroundings(&self, counters: Arc<Counters>) -> Surroundings<'_> {
        let inner = &self.0;
        Surroundings {
            host: Arc::downgrade(inner),
            counters,
            logs: &inner.logs,
            services: self.services(),
            background: inner.background.clone(),
            lane: Arc::clone(&inner.lane),
            room: &inner.room,
            codes: &inner.codes,
            memory: &inner.memory,
        }
    }

    /// The revision, ready to be invoked. Its code is mapped when it is first called.
    pub fn revision(&self, function: &FunctionName, spec: &Arc<samovar_model::Revision>) -> Arc<Revision> {
        let id = RevisionId { function: function.clone(), number: spec.number };
        let mut slot = self.0.revisions.entry(id).or_default();
        if let Some(revision) = slot.upgrade() {
            return revision;
        }
        let counters = self.0.counters.entry(function.clone()).or_insert_with(|| Arc::new(Counters::new())).clone();
        let revision = Arc::new(Revision::new(function, Arc::clone(spec), self.surroundings(counters)));
        *slot = Arc::downgrade(&revision);
        drop(slot);
        let mut live = self.0.live.entry(function.clone()).or_default();
        live.retain(|revision| revision.strong_count() > 0);
        live.push(Arc::downgrade(&revision));
        drop(live);
        if spec.settings.scale.min_warm > 0 {
            tokio::spawn(prewarm(self.clone(), Arc::clone(&revision)));
        }
        revision
    }

    /// How a function has fared here; `None` when it was never routed here.
    pub fn stats(&self, function: &FunctionName) -> Option<FunctionStats> {
        Some(self.stats_part(function)?.stats)
    }

    /// The same, with what is needed to add it to that of other hosts.
    pub fn stats_part(&self, function: &FunctionName) -> Option<StatsPart> {
        let mut part = self.0.counters.get(function)?.part();
        let stats = &mut part.stats;
        let live = self.0.live.get(function).map(|live| live.clone()).unwrap_or_default();
        for revision in live.iter().filter_map(Weak::upgrade) {
            let occupancy = revision.pool.occupancy();
            stats.busy += occupancy.busy as u64;
            stats.idle += occupancy.idle as u64;
            stats.queued += occupancy.queued as u64;
        }
        Some(part)
    }

    /// The same of every function that was routed here.
    pub fn stats_parts(&self) -> BTreeMap<FunctionName, StatsPart> {
        let names: Vec<_> = self.0.counters.iter().map(|entry| entry.key().clone()).collect();
        names.into_iter().filter_map(|name| Some((name.clone(), self.stats_part(&name)?))).collect()
    }

    /// Artifacts whose code is loaded: a call finds an instance, or has one in microseconds.
    pub fn warm(&self) -> BTreeSet<Digest> {
        let warm = |revision: &Arc<Revision>| !revision.code.is_empty();
        self.revisions().into_iter().filter(warm).map(|revision| revision.spec.artifact).collect()
    }

    /// Instances that run an invocation, and that wait for one.
    pub fn occupancy(&self) -> (u64, u64) {
        let of = |revision: &Arc<Revision>| revision.pool.occupancy();
        self.revisions()
            .iter()
            .map(of)
            .fold((0, 0), |(busy, idle), occupancy| (busy + occupancy.busy as u64, idle + occupancy.idle as u64))
    }

    /// How much of what the host has is in use.
    pub fn usage(&self) -> HostStats {
        let (memory, code) = (&self.0.memory, self.0.codes.usage());
        HostStats {
            instances: memory.instances(),
            max_instances: self.0.room.seats() as u64,
            memory_bytes: memory.resident_bytes(),
            memory_used_bytes: memory.used_bytes(),
            memory_budget_bytes: memory.budget_bytes(),
            code_bytes: code.bytes,
            code_budget_bytes: self.0.codes.budget_bytes(),
            components: code.components as u64,
            code_loads: code.loads,
            code_evictions: code.evictions,
            instance_evictions: self.0.idle.evictions(),
        }
    }

    /// Appends the host's metrics in Prometheus' text form.
    pub fn metrics(&self, out: &mut String) {
        metrics::write(&self.usage(), out);
    }

    /// The functions' logs.
    pub fn logs(&self) -> &LogStore {
        &self.0.logs
    }

    /// Forgets a function's counters and log.
    pub fn forget(&self, function: &FunctionName) {
        self.0.counters.remove(function);
        self.0.live.remove_if(function, |_, live| live.iter().all(|revision| revision.strong_count() == 0));
        self.0.logs.remove(function);
    }

    /// Removes compiled code that no revision needs.
    ///
    /// # Errors
    /// What the disk said.
    pub fn collect_code(&self, keep: &[(Digest, ComponentKind)]) -> std::io::Result<usize> {
        self.0.code.collect(keep)
    }

    /// Whether it takes nothing new.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Takes nothing new from now on, and waits until all that runs is done.
    pub async fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.0.background.close();
        self.0.background.wait().await;
    }
}
