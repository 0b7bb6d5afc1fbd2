//! Gateways' leases in a bucket of their own, with the tasks that hosts' leases have.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use samovar_model::{BootEpoch, GatewayId, GatewayMember, GatewayRecord, GatewayState};

use super::Nats;
use super::judge::Judge;
use super::lease::KeptLease;
use super::member_table::{MemberTable, Record, Run, Standing};
use super::watcher::Watcher;
use crate::gateways::GatewayTable;
use crate::{GatewayLease, Gateways};

/// The gateways of a cluster, as one of its processes sees them.
pub struct NatsGateways {
    nats: Nats,
    table: Arc<MemberTable<GatewayRecord>>,
    /// The watcher and the judge.
    _tasks: JoinSet<()>,
}

impl NatsGateways {
    /// Begins to watch. The table is empty until NATS has told what is in it.
    pub fn open(nats: &Nats) -> Self {
        let table = Arc::new(MemberTable::default());
        let bucket = nats.buckets().gateways.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(Watcher::new(nats, &bucket, table.clone()).run());
        tasks.spawn(Judge { nats: nats.clone(), bucket, table: table.clone() }.run());
        Self { nats: nats.clone(), table, _tasks: tasks }
    }
}

#[async_trait]
impl Gateways for NatsGateways {
    fn watch(&self) -> watch::Receiver<Arc<GatewayTable>> {
        self.table.shown.subscribe()
    }

    async fn join(&self, gateway: GatewayRecord) -> Box<dyn GatewayLease> {
        Box::new(NatsGatewayLease(KeptLease::take(&self.nats, &self.nats.buckets().gateways, gateway)))
    }
}

struct NatsGatewayLease(KeptLease<GatewayRecord>);

#[async_trait]
impl GatewayLease for NatsGatewayLease {
    fn routed(&self, version: u64) {
        self.0.tell(|gateway| gateway.routed = version);
    }

    async fn leave(self: Box<Self>) {
        if let Err(error) = self.0.leave().await {
            tracing::warn!(%error, "the gateway's lease expires by itself");
        }
    }
}

impl Record for GatewayRecord {
    type Id = GatewayId;
    type Shown = GatewayTable;

    fn id(&self) -> &GatewayId {
        &self.id
    }

    /// There is one run of each name, so runs need no numbers.
    fn run(&self) -> Run {
        Run { epoch: BootEpoch::default(), started: self.started }
    }

    fn with_epoch(self, _: BootEpoch) -> Self {
        self
    }

    fn is_urgent(&self, next: &Self) -> bool {
        self.routed != next.routed
    }

    fn shown(members: impl Iterator<Item = (Arc<Self>, Standing)>) -> GatewayTable {
        let member = |(record, standing): (Arc<Self>, Standing)| {
            let state = match standing {
                Standing::Heard => GatewayState::Ready,
                Standing::Suspect => GatewayState::Suspect,
                Standing::Gone => GatewayState::Gone,
            };
            (record.id.clone(), GatewayMember { record, state })
        };
        members.map(member).collect()
    }
}
