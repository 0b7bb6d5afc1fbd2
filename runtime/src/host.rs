//! A host, and a request's way through it: [`Host::invoke`] is the page to read.
//!
//! ```text
//! invoke -> lease a warm instance, or make one -> call the handler -> stream the answer
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use http::{Request, Response};
use http_body::Body;
use samovar_cluster::Artifacts;
use samovar_model::{ComponentKind, Digest, Fault, FunctionName, FunctionStats, RequestId, RevisionId, Settings};
use tokio_util::task::TaskTracker;

use crate::answer::{Answering, Leased};
use crate::body::ResponseBody;
use crate::code::{Code, CodeError, CodeStore, Compiled};
use crate::config::HostConfig;
use crate::engine::Engines;
use crate::instance::{Blueprint, Instance, MakeError};
use crate::interfaces::outbound::{Outbound, OutboundClient};
use crate::lane::Lane;
use crate::logs::LogStore;
use crate::pool::Permit;
use crate::record::Record;
use crate::request::Admitted;
use crate::revision::{Revision, Surroundings};
use crate::room::Room;
use crate::stats::Counters;
use crate::sweeper::{prewarm, sweep};

/// How often an instance is made anew after room was made for it.
const MAKE_ATTEMPTS: usize = 16;

/// How long to wait before that where nothing could be dropped: a guest that was stopped on the slow lane goes when its slice
/// ends, which is a little later than its seat is given up.
const MAKE_PAUSE: Duration = Duration::from_millis(5);

/// How many instances the engines can hold beyond those that have seats: stopped ones that are about to go, and those that a
/// deploy tries out.
const SPARE_INSTANCES: u32 = 32;

/// A host: runs functions. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    code: Arc<CodeStore>,
    artifacts: Arc<dyn Artifacts>,
    logs: LogStore,
    client: OutboundClient,
    revisions: DashMap<RevisionId, Weak<Revision>>,
    counters: DashMap<FunctionName, Arc<Counters>>,
    next_instance: AtomicU64,
    /// Guests that work on after their answer: draining waits for them.
    background: TaskTracker,
    lane: Arc<Lane>,
    /// Of each engine.
    rooms: [(ComponentKind, Arc<Room>); 2],
    draining: AtomicBool,
}

impl Host {
    /// Starts a host. It must be called within a tokio runtime, which then also sweeps idle instances.
    ///
    /// # Errors
    /// When a directory cannot be made, or the machine has no room for the engines' pools.
    pub fn start(config: HostConfig, artifacts: Arc<dyn Artifacts>) -> wasmtime::Result<Self> {
        let engines = Engines::start(config.max_instances.saturating_add(SPARE_INSTANCES))?;
        let room = |kind| (kind, Room::new(config.max_instances as usize));
        let host = Self(Arc::new(Inner {
            code: Arc::new(CodeStore::open(config.compiled_dir, engines)?),
            artifacts,
            logs: LogStore::open(config.logs_dir, config.log_bytes_per_function)?,
            client: OutboundClient::new(),
            revisions: DashMap::new(),
            counters: DashMap::new(),
            next_instance: AtomicU64::new(1),
            background: TaskTracker::new(),
            lane: Arc::new(Lane::start(std::thread::available_parallelism().map_or(1, usize::from))?),
            rooms: [room(ComponentKind::Wasi02), room(ComponentKind::Wasi03)],
            draining: AtomicBool::new(false),
        }));
        tokio::spawn(sweep(Arc::downgrade(&host.0), config.sweep_interval));
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
    pub async fn invoke<B>(
        &self,
        revision: Arc<Revision>,
        request: Request<B>,
        id: RequestId,
    ) -> Result<Response<ResponseBody>, Fault>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let mut record = Record::begin(revision);
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(record.failed(Fault::Draining));
        }
        let admitted = match Admitted::check(request, &record.revision().settings().limits) {
            Ok(admitted) => admitted,
            Err(fault) => return Err(record.failed(fault)),
        };
        let leased = match record.revision().warm() {
            Some(leased) => leased,
            None => match Box::pin(self.acquire(record.revision())).await {
                Ok(leased) => leased,
                Err(fault) => return Err(record.failed(fault)),
            },
        };
        let mut answering = Answering::begin(admitted, leased, id, record)?;
        std::future::poll_fn(|cx| answering.poll(cx)).await
    }

    /// Gets an instance where none is waiting: makes one, or waits for one.
    async fn acquire(&self, revision: &Arc<Revision>) -> Result<Leased, Fault> {
        let code = self.code(revision).await?;
        let mut permit = loop {
            let lease = revision.pool.lease(|| self.evict(revision.spec.kind)).await?;
            match lease.instance {
                Some(instance) if instance.may_serve() => {
                    return Ok(Leased { instance, permit: lease.permit, is_cold: false });
                }
                // One that ended while it was idle goes with its permit.
                Some(_) => {}
                None => break lease.permit,
            }
        };
        revision.counters.cold_start();
        let instance = self.make(revision, code, &mut permit).await?;
        Ok(Leased { instance, permit, is_cold: true })
    }

    /// The revision's code, mapped at first use and compiled if that was not done at deploy.
    pub(crate) async fn code<'a>(&self, revision: &'a Revision) -> Result<&'a Code, Fault> {
        if let Some(code) = revision.code.get() {
            return Ok(code);
        }
        let load = revision.code.get_or_try_init(|| self.load(&revision.spec));
        load.await.map_err(|error| {
            tracing::error!(revision = %revision.id, %error, "code not available");
            Fault::NotAvailable
        })
    }

    async fn load(&self, spec: &samovar_model::Revision) -> Result<Code, CodeError> {
        let (store, digest, kind) = (Arc::clone(&self.0.code), spec.artifact, spec.kind);
        let mapped = tokio::task::spawn_blocking(move || store.load(digest, kind)).await;
        let crashed = || CodeError::Refused("loading crashed".to_owned());
        if let Ok(code) = mapped.map_err(|_| crashed())? {
            return Ok(code);
        }
        // Another version of Samovar compiled it, or somebody emptied the cache.
        let missing = |error: samovar_cluster::ArtifactError| CodeError::Refused(error.to_string());
        let file = self.0.artifacts.file(&digest).await.map_err(missing)?;
        self.0.code.compile(digest, &file).await?;
        self.0.code.load(digest, kind)
    }

    /// Makes an instance; where the host is full, idle ones of any function go, the least recently used first.
    pub(crate) async fn make(
        &self,
        revision: &Revision,
        code: &Code,
        permit: &mut Permit<Instance>,
    ) -> Result<Instance, Fault> {
        let limit = revision.settings().limits.timeout.as_duration();
        for _ in 0..MAKE_ATTEMPTS {
            let id = self.0.next_instance.fetch_add(1, Ordering::Relaxed);
            let blueprint = revision.blueprint(code);
            let made = tokio::time::timeout(limit, Instance::make(&blueprint, id)).await;
            match made.map_err(|_| Fault::Deadline(limit))? {
                Ok(instance) => {
                    permit.made(&instance);
                    return Ok(instance);
                }
                Err(MakeError::Failed(_)) => return Err(Fault::Start),
                Err(MakeError::Full) if self.evict(revision.spec.kind) => {}
                Err(MakeError::Full) => tokio::time::sleep(MAKE_PAUSE).await,
            }
        }
        Err(Fault::NoCapacity)
    }

    /// Drops the instance that has been idle longest, whosever it is, to make room in the engine for this kind. False when
    /// none is idle.
    fn evict(&self, kind: ComponentKind) -> bool {
        let revisions = self.revisions();
        let idle = revisions
            .iter()
            .filter(|revision| revision.spec.kind == kind)
            .filter_map(|revision| Some((revision.pool.idle_since()?, revision)));
        let victim = idle.min_by_key(|(since, _)| *since).and_then(|(_, revision)| revision.pool.evict());
        victim.is_some()
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn drop_dead_revisions(&self) {
        self.0.revisions.retain(|_, revision| revision.strong_count() > 0);
    }

    pub(crate) fn revisions(&self) -> Vec<Arc<Revision>> {
        self.0.revisions.iter().filter_map(|entry| entry.value().upgrade()).collect()
    }

    fn surroundings(&self, counters: Arc<Counters>, kind: ComponentKind) -> Surroundings<'_> {
        let inner = &self.0;
        let [(first, room), (_, other)] = &inner.rooms;
        let room = if *first == kind { room } else { other };
        Surroundings {
            counters,
            logs: &inner.logs,
            client: &inner.client,
            background: inner.background.clone(),
            lane: Arc::clone(&inner.lane),
            room,
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
        let revision = Arc::new(Revision::new(function, Arc::clone(spec), self.surroundings(counters, spec.kind)));
        *slot = Arc::downgrade(&revision);
        drop(slot);
        if spec.settings.scale.min_warm > 0 {
            tokio::spawn(prewarm(self.clone(), Arc::clone(&revision)));
        }
        revision
    }

    /// Checks a component and compiles it.
    ///
    /// # Errors
    /// [`CodeError::Refused`] with the reason when it cannot run here.
    pub async fn compile(&self, digest: Digest, artifact: &Path) -> Result<Compiled, CodeError> {
        self.0.code.compile(digest, artifact).await
    }

    /// Starts an instance of compiled code under these settings, and drops it again.
    ///
    /// # Errors
    /// Why it does not start, in words for the person who deploys it.
    pub async fn rehearse(&self, digest: Digest, settings: &Settings) -> Result<(), String> {
        let kinds = [ComponentKind::Wasi02, ComponentKind::Wasi03];
        let compiled = kinds.into_iter().find_map(|kind| self.0.code.load(digest, kind).ok());
        let code = compiled.ok_or_else(|| format!("component {digest} is not compiled; upload it again"))?;
        let sink = self.0.logs.discard();
        let outbound = Arc::new(Outbound::new(String::new(), Vec::new(), self.0.client.clone(), sink.clone()));
        let blueprint = Blueprint { code: &code, settings, outbound: &outbound, sink: &sink, lane: &self.0.lane };
        let limits = &settings.limits;
        for _ in 0..MAKE_ATTEMPTS {
            let id = self.0.next_instance.fetch_add(1, Ordering::Relaxed);
            match tokio::time::timeout(limits.timeout.as_duration(), Instance::make(&blueprint, id)).await {
                Err(_) => return Err(format!("an instance did not start within limits.timeout = {}", limits.timeout)),
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(MakeError::Failed(why))) => {
                    return Err(format!(
                        "an instance {why} (limits.memory = {}, limits.cpu = {})",
                        limits.memory, limits.cpu
                    ));
                }
                Ok(Err(MakeError::Full)) if self.evict(code.kind()) => {}
                // A host this full will tell when the function is called.
                Ok(Err(MakeError::Full)) => break,
            }
        }
        Ok(())
    }

    /// How a function has fared here; `None` when it was never routed here.
    pub fn stats(&self, function: &FunctionName) -> Option<FunctionStats> {
        let mut stats = self.0.counters.get(function)?.read();
        for revision in self.revisions().iter().filter(|revision| revision.id.function == *function) {
            let occupancy = revision.pool.occupancy();
            stats.busy += occupancy.busy as u64;
            stats.idle += occupancy.idle as u64;
            stats.queued += occupancy.queued as u64;
        }
        Some(stats)
    }

    /// The functions' logs.
    pub fn logs(&self) -> &LogStore {
        &self.0.logs
    }

    /// Forgets a function's counters and log.
    pub fn forget(&self, function: &FunctionName) {
        self.0.counters.remove(function);
        self.0.logs.remove(function);
    }

    /// Removes compiled code that no revision needs.
    ///
    /// # Errors
    /// What the disk said.
    pub fn collect_code(&self, keep: &[(Digest, ComponentKind)]) -> std::io::Result<usize> {
        self.0.code.collect(keep)
    }

    /// Takes nothing new from now on, and waits until all that runs is done.
    pub async fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.0.background.close();
        self.0.background.wait().await;
    }
}
