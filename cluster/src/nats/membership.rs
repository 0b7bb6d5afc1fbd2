//! The membership in a key-value bucket: one key for each host, which its run renews by compare-and-set.
//!
//! Four tasks: the watcher feeds the table, the judge decides who is suspect or gone, another keeps the table on disk for a
//! start without NATS, and each lease renews itself. A host that was replaced by a later run of the same name finds its key changed at its next renewal, and stops.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use samovar_model::{BootEpoch, HostId, HostIntent, HostRecord, HostReport, Hosts};

use super::Nats;
use super::host_table::{Asked, HostTable, KnownHosts, ask_key};
use super::judge::Judge;
use super::lease::{KeptLease, put};
use super::snapshot_file;
use super::watcher::Watcher;
use crate::{Lease, Membership, MembershipError};

/// The hosts of a cluster, as one of its processes sees them.
pub struct NatsMembership {
    nats: Nats,
    table: Arc<HostTable>,
    /// The watcher, the judge and who writes to disk; ended when the membership and all its leases are dropped.
    tasks: Arc<JoinSet<()>>,
}

impl NatsMembership {
    /// Begins to watch. Until NATS has told what is in it, the table has the hosts that the last process with this directory
    /// knew: suspect, since they have not been heard, and never gone. Without a directory it is empty. Blocks on the disk.
    pub fn open(nats: &Nats, dir: Option<&Path>) -> Self {
        let table = Arc::new(HostTable::default());
        let bucket = nats.buckets().hosts.clone();
        let mut tasks = JoinSet::new();
        if let Some(dir) = dir {
            if let Some(known) = snapshot_file::read::<KnownHosts>(dir) {
                table.members.remember(known.hosts);
                table.members.judge(nats.config().host_expiry, true);
            }
            tasks.spawn(snapshot_file::keep::<KnownHosts>(dir.to_owned(), table.members.shown.subscribe()));
        }
        tasks.spawn(Watcher::new(nats, &bucket, table.clone()).run());
        tasks.spawn(Judge { nats: nats.clone(), bucket, table: table.members.clone() }.run());
        Self { nats: nats.clone(), table, tasks: Arc::new(tasks) }
    }
}

#[async_trait]
impl Membership for NatsMembership {
    fn watch(&self) -> watch::Receiver<Arc<Hosts>> {
        self.table.members.shown.subscribe()
    }

    async fn join(&self, host: HostRecord) -> Box<dyn Lease> {
        let (tell, asked) = watch::channel(HostIntent::Ready);
        let passing = tokio::spawn(pass_on(host.id.clone(), self.table.asked.subscribe(), tell));
        let kept = KeptLease::take(&self.nats, &self.nats.buckets().hosts, host);
        Box::new(NatsLease { kept, asked, _passing: AbortOnDropHandle::new(passing), _watch: self.tasks.clone() })
    }

    async fn ask(&self, host: &HostId, intent: HostIntent) -> Result<(), MembershipError> {
        self.nats.ready().await.map_err(unavailable)?;
        let value = serde_json::to_vec(&intent).map_err(unavailable)?;
        let subject = self.nats.buckets().hosts.subject(&ask_key(host));
        put(&self.nats, &subject, value, None).await.map(drop).map_err(unavailable)
    }
}

fn unavailable(error: impl ToString) -> MembershipError {
    MembershipError::Unavailable(error.to_string())
}

/// A host's lease.
struct NatsLease {
    kept: KeptLease<HostRecord>,
    asked: watch::Receiver<HostIntent>,
    _passing: AbortOnDropHandle<()>,
    /// Bring what the host is asked for.
    _watch: Arc<JoinSet<()>>,
}

/// Passes on what one host is asked for.
async fn pass_on(host: HostId, mut all: watch::Receiver<Arc<Asked>>, asked: watch::Sender<HostIntent>) {
    loop {
        let intent = all.borrow_and_update().get(&host).copied().unwrap_or_default();
        asked.send_if_modified(|asked| std::mem::replace(asked, intent) != intent);
        if all.changed().await.is_err() {
            return;
        }
    }
}

#[async_trait]
impl Lease for NatsLease {
    fn epoch(&self) -> watch::Receiver<BootEpoch> {
        self.kept.epoch()
    }

    fn report(&self, report: HostReport) {
        self.kept.tell(|host| host.report = report);
    }

    fn asked(&self) -> watch::Receiver<HostIntent> {
        self.asked.clone()
    }

    fn held(&self) -> watch::Receiver<bool> {
        self.kept.held()
    }

    async fn leave(self: Box<Self>) -> Result<(), MembershipError> {
        self.kept.leave().await.map_err(unavailable)
    }
}
