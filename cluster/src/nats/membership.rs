//! The membership in a key-value bucket: one key for each host, which its run renews by compare-and-set.
//!
//! Three tasks: the watcher feeds the table, the judge decides who is suspect or gone, and each lease renews itself. A host
//! that was replaced by a later run of the same name finds its key changed at its next renewal, and stops.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use samovar_model::{HostId, HostIntent, HostRecord, Hosts};

use super::Nats;
use super::connection::Link;
use super::host_table::{HostTable, ask_key};
use super::lease::{NatsLease, put};
use super::watcher::Watcher;
use crate::{Lease, Membership, MembershipError};

/// Changes that follow each other this closely are shown at once.
const PAUSE: Duration = Duration::from_millis(10);
/// A key that is written to see whether the bucket can be written. No host has this name.
const PROBE: &str = "probe.store";

/// The hosts of a cluster, as one of its processes sees them.
pub struct NatsMembership {
    nats: Nats,
    table: Arc<HostTable>,
    tasks: Arc<Tasks>,
}

/// The watcher and the judge; ended when the membership and all its leases are dropped.
pub(super) struct Tasks([JoinHandle<()>; 2]);

impl NatsMembership {
    /// Begins to watch. The table is empty until NATS has told what is in it.
    pub fn open(nats: &Nats) -> Self {
        let table = Arc::new(HostTable::default());
        let behind = Arc::new(Notify::new());
        let bucket = nats.buckets().hosts.clone();
        let watcher = Watcher { nats: nats.clone(), bucket, table: table.clone(), behind };
        let judge = Judge { nats: nats.clone(), table: table.clone(), trusted: Instant::now() };
        let tasks = Arc::new(Tasks([tokio::spawn(watcher.run()), tokio::spawn(judge.run())]));
        Self { nats: nats.clone(), table, tasks }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

#[async_trait]
impl Membership for NatsMembership {
    fn watch(&self) -> watch::Receiver<Arc<Hosts>> {
        self.table.shown.subscribe()
    }

    async fn join(&self, host: HostRecord) -> Result<Box<dyn Lease>, MembershipError> {
        Ok(Box::new(NatsLease::take(&self.nats, host, self.table.asked.subscribe(), self.tasks.clone()).await?))
    }

    async fn ask(&self, host: &HostId, intent: HostIntent) -> Result<(), MembershipError> {
        self.nats.ready().await.map_err(unavailable)?;
        let value = serde_json::to_vec(&intent).map_err(unavailable)?;
        put(&self.nats, &ask_key(host), value, None).await.map(drop).map_err(unavailable)
    }
}

fn unavailable(error: impl ToString) -> MembershipError {
    MembershipError::Unavailable(error.to_string())
}

/// The task that decides who is suspect or gone.
struct Judge {
    nats: Nats,
    table: Arc<HostTable>,
    /// From when on silence counts again.
    trusted: Instant,
}

impl Judge {
    async fn run(mut self) {
        let expiry = self.nats.config().host_expiry;
        let mut link = self.nats.link();
        self.trusted = Instant::now() + expiry;
        loop {
            tokio::select! {
                () = self.table.changed.notified() => {}
                () = sleep(expiry / 15) => {}
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.trusted = Instant::now() + expiry;
                }
            }
            let away = matches!(*link.borrow_and_update(), Link::Away(_));
            if away || self.nobody_can_renew(expiry).await {
                self.trusted = Instant::now() + expiry;
            }
            self.table.judge(expiry, Instant::now() < self.trusted);
            sleep(PAUSE).await;
        }
    }

    /// When no host at all is heard, it may be the store that is down behind a connection that is up: writing tells.
    async fn nobody_can_renew(&self, expiry: Duration) -> bool {
        if Instant::now() < self.trusted || self.table.silence().is_none_or(|silence| silence < expiry / 3) {
            return false;
        }
        let written = timeout(expiry / 3, put(&self.nats, PROBE, Vec::new(), None)).await;
        !matches!(written, Ok(Ok(_)))
    }
}
