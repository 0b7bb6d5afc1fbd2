//! Membership: which hosts there are, and which of them can be counted on.
//!
//! A host holds a lease and renews it; whoever routes to hosts watches the table. A lease that is not renewed makes its host
//! suspect, then gone; but only while the store can tell: when nobody can renew, nobody is gone.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use samovar_model::{BootEpoch, HostId, HostIntent, HostRecord, HostReport, Hosts};

/// Why the store of leases did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MembershipError {
    /// The store cannot be reached or written: try again later.
    #[error("the membership is not available: {0}")]
    Unavailable(String),
}

/// The hosts of a cluster.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// The newest table that this process knows, and its successors.
    fn watch(&self) -> watch::Receiver<Arc<Hosts>>;

    /// Wants the host's lease, which is taken from any earlier run that has it. Returns at once: while the store is away,
    /// the lease is taken as soon as it is back, so that a host can serve without.
    async fn join(&self, host: HostRecord) -> Box<dyn Lease>;

    /// Asks a host to drain, or to take invocations again. The host need not be there: it is asked when it joins.
    ///
    /// # Errors
    /// [`MembershipError::Unavailable`] when the store is away.
    async fn ask(&self, host: &HostId, intent: HostIntent) -> Result<(), MembershipError>;
}

/// A host's lease, renewed by a task until this is dropped. Dropped without [`Lease::leave`], it expires.
#[async_trait]
pub trait Lease: Send + Sync {
    /// The number of this run: first what the record says; when the lease is taken it may rise, once, to above that of any
    /// run that had the lease before, whatever the clock says. It is told here before anyone else can learn it.
    fn epoch(&self) -> watch::Receiver<BootEpoch>;

    /// What the next renewal tells. A changed intent, and another version of the registry, are told at once.
    fn report(&self, report: HostReport);

    /// What the host was asked for, [`HostIntent::Ready`] if nothing was.
    fn asked(&self) -> watch::Receiver<HostIntent>;

    /// Whether the lease is this run's, or can be: true until a later run of the host has it, then false for good. Being
    /// away from the store does not change it.
    fn held(&self) -> watch::Receiver<bool>;

    /// Ends the lease: the host is no member any more.
    ///
    /// # Errors
    /// [`MembershipError::Unavailable`] when the store could not be told; the lease expires then.
    async fn leave(self: Box<Self>) -> Result<(), MembershipError>;
}
