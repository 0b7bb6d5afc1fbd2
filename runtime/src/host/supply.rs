//! How a host comes by an instance where none is waiting: code is loaded or compiled, room is found, the guest is started.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use samovar_model::{ComponentKind, Digest, Fault, Settings};

use super::Host;
use crate::answer::Leased;
use crate::code::cache::Loaded;
use crate::code::{CodeError, Compiled};
use crate::instance::{Blueprint, Instance, MakeError};
use crate::interfaces::Granted;
use crate::pool::Permit;
use crate::revision::Revision;

/// How often an instance is made anew after room was made for it.
const MAKE_ATTEMPTS: usize = 16;

/// Code of this size is mapped where its first call is served: that takes some 100 us, and to have another thread do it, which
/// may have to be woken, as long again. What is not in the page cache is waited for there either way, when the guest runs.
const MAX_BYTES_AT_ONCE: u64 = 2 << 20;

/// How long to wait before that where nothing could be dropped: what deploys try out, which has no seats, goes soon.
const MAKE_PAUSE: Duration = Duration::from_millis(5);

impl Host {
    /// Gets an instance where none is waiting: makes one, or waits for one.
    pub(crate) async fn acquire(&self, revision: &Arc<Revision>) -> Result<Leased, Fault> {
        let loaded = self.code(revision).await?;
        revision.code.used();
        let mut permit = loop {
            let lease = revision.pool.lease(|| self.evict(None)).await?;
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
        let instance = self.make(revision, &loaded, &mut permit).await?;
        Ok(Leased { instance, permit, is_cold: true })
    }

    /// The revision's code, loaded if it is not, and compiled if that was not done at deploy.
    pub(crate) async fn code(&self, revision: &Arc<Revision>) -> Result<Arc<Loaded>, Fault> {
        let loaded = revision.code.get(revision, self.load(&revision.spec)).await;
        loaded.map_err(|error| {
            tracing::error!(revision = %revision.id, %error, "code not available");
            Fault::NotAvailable
        })
    }

    async fn load(&self, spec: &samovar_model::Revision) -> Result<Loaded, CodeError> {
        let (store, digest, kind) = (Arc::clone(&self.0.code), spec.artifact, spec.kind);
        let loaded = match store.find(digest, kind) {
            Ok(file) if file.bytes <= MAX_BYTES_AT_ONCE => store.load_found(&file),
            Ok(file) => {
                let mapped = tokio::task::spawn_blocking(move || store.load_found(&file)).await;
                mapped.map_err(|_| CodeError::Refused("loading crashed".to_owned()))?
            }
            Err(error) => Err(error),
        };
        if let Ok(code) = loaded {
            return Ok(code);
        }
        // Another version of Samovar compiled it, or somebody emptied the cache.
        self.supply(digest, kind).await?;
        self.0.code.load(digest, kind)
    }

    /// Makes an instance; where the host is full, idle ones of any function go, the least recently used first.
    pub(crate) async fn make(
        &self,
        revision: &Arc<Revision>,
        loaded: &Arc<Loaded>,
        permit: &mut Permit<Instance>,
    ) -> Result<Instance, Fault> {
        let limit = revision.settings().limits.timeout.as_duration();
        for _ in 0..MAKE_ATTEMPTS {
            let id = self.0.next_instance.fetch_add(1, Ordering::Relaxed);
            let blueprint = revision.blueprint(&loaded.code);
            let made = tokio::time::timeout(limit, Instance::make(&blueprint, id)).await;
            match made.map_err(|_| Fault::Deadline(limit))? {
                Ok(instance) => {
                    permit.made(&instance);
                    revision.code.keep(revision, loaded);
                    return Ok(instance);
                }
                Err(MakeError::Failed(_)) => return Err(Fault::Start),
                Err(MakeError::NoMemory) => return Err(Fault::HostMemory { started: false }),
                Err(MakeError::Full(kind)) if self.evict(kind) => {}
                Err(MakeError::Full(_)) => tokio::time::sleep(MAKE_PAUSE).await,
            }
        }
        Err(Fault::NoCapacity)
    }

    /// Drops the instance that has been idle longest, whosever it is, or that of this kind. False when none is idle.
    fn evict(&self, kind: Option<ComponentKind>) -> bool {
        self.0.idle.evict(kind, || self.revisions()).is_some()
    }

    /// Sees to it that the code of a revision is on disk, compiled, so that its first call need not wait for that.
    ///
    /// # Errors
    /// When the component cannot be had or compiled.
    pub async fn prepare(&self, spec: &samovar_model::Revision) -> Result<(), CodeError> {
        if self.0.code.is_compiled(spec.artifact, spec.kind) {
            return Ok(());
        }
        self.supply(spec.artifact, spec.kind).await
    }

    /// Begins to prepare, unless that is under way or has failed a moment ago.
    pub(crate) fn begin_preparing(&self, spec: &Arc<samovar_model::Revision>) {
        let Some(turn) = self.0.attempts.begin(spec.artifact) else { return };
        let (host, spec) = (self.clone(), Arc::clone(spec));
        tokio::spawn(async move {
            let outcome = host.prepare(&spec).await;
            drop(turn);
            if let Err(error) = outcome {
                tracing::warn!(artifact = %spec.artifact, %error, "not prepared");
            }
        });
    }

    /// Fetches and compiles a component. One that failed a moment ago fails again with the same words: a full disk is not
    /// helped by fetching for each request.
    async fn supply(&self, digest: Digest, kind: ComponentKind) -> Result<(), CodeError> {
        if let Some(error) = self.0.attempts.failed_lately(&digest) {
            return Err(error);
        }
        let missing = |error: samovar_cluster::ArtifactError| CodeError::Refused(error.to_string());
        let outcome = async {
            let file = self.0.artifacts.file(&digest).await.map_err(missing)?;
            self.0.code.ensure(digest, kind, &file).await
        };
        let outcome = outcome.await;
        if let Err(error) = &outcome {
            self.0.attempts.failed(digest, error.clone());
        }
        outcome
    }

    /// Whether the code of a revision is on disk, compiled.
    pub fn is_prepared(&self, spec: &samovar_model::Revision) -> bool {
        self.0.code.is_compiled(spec.artifact, spec.kind)
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
        let code = compiled.ok_or_else(|| format!("component {digest} is not compiled; upload it again"))?.code;
        let granted = Granted::nothing(settings, &self.services(), self.0.logs.discard());
        let (memory, demand, lane) = (&self.0.memory, &Arc::default(), &self.0.lane);
        let blueprint = Blueprint { code: &code, settings, granted: &granted, lane, memory, demand };
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
                Ok(Err(MakeError::Full(kind))) if self.evict(kind) => {}
                // A host this full will tell when the function is called.
                Ok(Err(MakeError::Full(_) | MakeError::NoMemory)) => break,
            }
        }
        Ok(())
    }
}
