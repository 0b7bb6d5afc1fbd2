//! The gateways of one process: they live and end with it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use samovar_model::{GatewayId, GatewayMember, GatewayRecord, GatewayState};

use crate::gateways::GatewayTable;
use crate::{GatewayLease, Gateways};

/// The gateways of one process.
#[derive(Default)]
pub struct EmbeddedGateways {
    shown: Arc<watch::Sender<Arc<GatewayTable>>>,
}

#[async_trait]
impl Gateways for EmbeddedGateways {
    fn watch(&self) -> watch::Receiver<Arc<GatewayTable>> {
        self.shown.subscribe()
    }

    async fn join(&self, gateway: GatewayRecord) -> Box<dyn GatewayLease> {
        let id = gateway.id.clone();
        let member = GatewayMember { record: Arc::new(gateway), state: GatewayState::Ready };
        self.shown.send_modify(|table| drop(Arc::make_mut(table).insert(id.clone(), member)));
        Box::new(EmbeddedLease { shown: self.shown.clone(), id })
    }
}

struct EmbeddedLease {
    shown: Arc<watch::Sender<Arc<GatewayTable>>>,
    id: GatewayId,
}

#[async_trait]
impl GatewayLease for EmbeddedLease {
    fn routed(&self, version: u64) {
        self.shown.send_modify(|table| {
            if let Some(member) = Arc::make_mut(table).get_mut(&self.id) {
                Arc::make_mut(&mut member.record).routed = version;
            }
        });
    }

    async fn leave(self: Box<Self>) {}
}

impl Drop for EmbeddedLease {
    fn drop(&mut self) {
        self.shown.send_modify(|table| drop(Arc::make_mut(table).remove(&self.id)));
    }
}
