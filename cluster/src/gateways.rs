//! Which gateways there are, and by which state of the registry each routes.
//!
//! A gateway holds a lease like a host's (see [`Membership`](crate::Membership)): not renewed, it makes its gateway suspect,
//! then gone; but only while the store can tell. Nothing that a gateway serves depends on it: it is there for those who
//! wait until a deploy is routed everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use samovar_model::{GatewayId, GatewayMember, GatewayRecord};

/// All gateways that are known, at one moment, by name.
pub type GatewayTable = BTreeMap<GatewayId, GatewayMember>;

/// The gateways of a cluster.
#[async_trait]
pub trait Gateways: Send + Sync + 'static {
    /// The newest table that this process knows, and its successors.
    fn watch(&self) -> watch::Receiver<Arc<GatewayTable>>;

    /// Takes a lease for a gateway whose name nobody else has. Returns at once: while the store is away, the lease is taken
    /// as soon as it is back.
    async fn join(&self, gateway: GatewayRecord) -> Box<dyn GatewayLease>;
}

/// A gateway's lease, renewed by a task until this is dropped. Dropped without [`GatewayLease::leave`], it expires.
#[async_trait]
pub trait GatewayLease: Send + Sync {
    /// Tells by which version of the registry the gateway routes from now on: told to all at once, or as soon as the store
    /// is back.
    fn routed(&self, version: u64);

    /// Ends the lease: the gateway is not shown any more. If the store cannot be told, the lease expires.
    async fn leave(self: Box<Self>);
}
