//! Which revision a request from a gateway is for: the newest that the gateway or this host knows of.
//!
//! Both follow the registry, and either may be behind for a moment, or cut off from it for long. A request says by which version
//! of the registry its gateway chose. A host whose own is as new goes by its own; one that is behind takes the gateway's word if
//! it knows that revision, and else waits a little until it does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use http::HeaderValue;
use samovar_cluster::Snapshot;
use samovar_hop::message::Target;
use samovar_model::{Fault, FunctionName};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Host, Revision};

/// How long a request waits for a revision that its gateway knows and this host does not yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// Resolved targets that are remembered. There are about as many as functions.
const MEMORY: usize = 100_000;

/// The functions of a registry, on one host.
pub(super) struct Functions {
    host: Host,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    table: ArcSwap<Table>,
    /// The version of the table, for who waits for it.
    version: watch::Sender<u64>,
}

/// One snapshot, ready to be invoked.
#[derive(Default)]
struct Table {
    snapshot: Arc<Snapshot>,
    /// The revisions that answer, kept ready.
    current: HashMap<FunctionName, Arc<Revision>>,
    /// What targets were resolved to.
    resolved: DashMap<HeaderValue, Arc<Revision>>,
}

impl Functions {
    pub(super) fn new(host: Host, mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        let table = Table::new(&host, Arc::clone(&snapshots.borrow_and_update()));
        let (version, _) = watch::channel(table.snapshot.version);
        Self { host, snapshots, table: ArcSwap::from_pointee(table), version }
    }

    pub(super) async fn follow(&self) {
        let mut snapshots = self.snapshots.clone();
        let mut preparing = JoinSet::new();
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if snapshot.version != self.table.load().snapshot.version {
                self.table.store(Arc::new(Table::new(&self.host, Arc::clone(&snapshot))));
                self.version.send_replace(snapshot.version);
            }
            preparing.shutdown().await;
            preparing.spawn(prepare(self.host.clone(), snapshot));
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The revision that a request is for.
    ///
    /// # Errors
    /// When this host does not know it, nor learns of it in time: another one may.
    pub(super) async fn resolve(&self, target: &HeaderValue) -> Result<Arc<Revision>, Fault> {
        if let Some(revision) = self.table.load().resolved.get(target) {
            return Ok(Arc::clone(&revision));
        }
        let text = target.to_str().map_err(|_| Fault::NotAvailable)?;
        let wanted: Target = text.parse().map_err(|_| Fault::NotAvailable)?;
        if let Some(revision) = self.find(&wanted, target) {
            return Ok(revision);
        }
        let mut version = self.version.subscribe();
        let known = tokio::time::timeout(PATIENCE, version.wait_for(|version| *version >= wanted.version)).await;
        match known {
            Ok(Ok(_)) => self.find(&wanted, target).ok_or(Fault::NoFunction),
            _ => Err(Fault::NotAvailable),
        }
    }

    /// Whether the revision can be invoked without compiling. If not, that is begun.
    pub(super) fn is_prepared(&self, revision: &Arc<Revision>) -> bool {
        if revision.is_prepared.load(Relaxed) || !revision.code.is_empty() {
            return true;
        }
        if self.host.is_prepared(&revision.spec) {
            revision.is_prepared.store(true, Relaxed);
            return true;
        }
        self.host.begin_preparing(&revision.spec);
        false
    }

    fn find(&self, wanted: &Target, header: &HeaderValue) -> Option<Arc<Revision>> {
        let table = self.table.load();
        let revision = match table.current.get(&wanted.function) {
            Some(current) if table.snapshot.version >= wanted.version || current.spec.number == wanted.revision => {
                Arc::clone(current)
            }
            _ if table.snapshot.version >= wanted.version => return None,
            _ => {
                let function = table.snapshot.functions.get(&wanted.function)?;
                self.host.revision(&wanted.function, function.revision(wanted.revision)?)
            }
        };
        if table.resolved.len() < MEMORY {
            table.resolved.insert(header.clone(), Arc::clone(&revision));
        }
        Some(revision)
    }
}

impl Table {
    fn new(host: &Host, snapshot: Arc<Snapshot>) -> Self {
        let ready = |function: &Arc<samovar_model::FunctionState>| {
            (function.name.clone(), host.revision(&function.name, function.current()))
        };
        let current = snapshot.functions.values().map(ready).collect();
        Self { snapshot, current, resolved: DashMap::new() }
    }
}

/// Has the code of every revision that answers on disk before it is called, one after the other: what is called meanwhile need
/// not wait for more than one of them. One that cannot be had now is had when it is called.
async fn prepare(host: Host, snapshot: Arc<Snapshot>) {
    let specs = snapshot.functions.values().map(|function| Arc::clone(function.current()));
    let mut missing: Vec<_> = specs.filter(|spec| !host.is_prepared(spec)).collect();
    // The newest first: it is the most likely to be called next.
    missing.sort_by_key(|spec| std::cmp::Reverse(spec.created));
    for spec in missing {
        if let Err(error) = host.prepare(&spec).await {
            tracing::warn!(artifact = %spec.artifact, %error, "not prepared");
        }
    }
}
