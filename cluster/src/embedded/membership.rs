//! The membership of one process: hosts that live and end with it. Nothing expires, since nothing can be cut off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use samovar_model::{BootEpoch, HostId, HostIntent, HostRecord, HostReport, HostState, Hosts, Member};

use crate::{Lease, Membership, MembershipError};

/// The hosts of one process.
#[derive(Default)]
pub struct EmbeddedMembership {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    shown: watch::Sender<Arc<Hosts>>,
    slots: Mutex<BTreeMap<HostId, Slot>>,
}

/// What is kept of a host between its leases.
#[derive(Default)]
struct Slot {
    epoch: BootEpoch,
    asked: watch::Sender<HostIntent>,
    /// Tells the run that has the lease; absent before the first one.
    held: Option<watch::Sender<bool>>,
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<HostId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, record: HostRecord) {
        let state = match record.report.intent {
            HostIntent::Ready => HostState::Ready,
            HostIntent::Draining => HostState::Draining,
        };
        self.shown.send_modify(|hosts| {
            let member = Member { record: Arc::new(record), state };
            Arc::make_mut(hosts).members.insert(member.record.id.clone(), member);
        });
    }
}

#[async_trait]
impl Membership for EmbeddedMembership {
    fn watch(&self) -> watch::Receiver<Arc<Hosts>> {
        self.shared.shown.subscribe()
    }

    async fn join(&self, mut host: HostRecord) -> Box<dyn Lease> {
        let mut slots = self.shared.slots();
        let slot = slots.entry(host.id.clone()).or_default();
        slot.epoch = host.epoch.max(BootEpoch(slot.epoch.0 + 1));
        host.epoch = slot.epoch;
        let epoch = watch::Sender::new(slot.epoch);
        let (tell, held) = watch::channel(true);
        if let Some(earlier) = slot.held.replace(tell) {
            earlier.send_replace(false);
        }
        self.shared.show(host.clone());
        Box::new(EmbeddedLease { shared: self.shared.clone(), host, epoch, asked: slot.asked.subscribe(), held })
    }

    async fn ask(&self, host: &HostId, intent: HostIntent) -> Result<(), MembershipError> {
        self.shared.slots().entry(host.clone()).or_default().asked.send_replace(intent);
        Ok(())
    }
}

struct EmbeddedLease {
    shared: Arc<Shared>,
    host: HostRecord,
    epoch: watch::Sender<BootEpoch>,
    asked: watch::Receiver<HostIntent>,
    held: watch::Receiver<bool>,
}

#[async_trait]
impl Lease for EmbeddedLease {
    fn epoch(&self) -> watch::Receiver<BootEpoch> {
        self.epoch.subscribe()
    }

    fn report(&self, report: HostReport) {
        // Under the lock that a later run takes the lease with, so that it cannot be overwritten.
        let _slots = self.shared.slots();
        if *self.held.borrow() {
            self.shared.show(HostRecord { report, ..self.host.clone() });
        }
    }

    fn asked(&self) -> watch::Receiver<HostIntent> {
        self.asked.clone()
    }

    fn held(&self) -> watch::Receiver<bool> {
        self.held.clone()
    }

    async fn leave(self: Box<Self>) -> Result<(), MembershipError> {
        Ok(())
    }
}

impl Drop for EmbeddedLease {
    fn drop(&mut self) {
        let _slots = self.shared.slots();
        if *self.held.borrow() {
            self.shared.shown.send_modify(|hosts| drop(Arc::make_mut(hosts).members.remove(&self.host.id)));
        }
    }
}
