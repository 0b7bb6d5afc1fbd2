//! Connections to hosts: a few to each, kept up by a task for each of them, which is the host's health check as well.
//!
//! ```text
//! ## Down => (Up)
//! tries to connect, at first at once, then less and less often, up to once a second
//! ## Up => (Down)
//! requests may use it; pings on it show whether the host still lives, and end it if not
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use samovar_hop::{ConnectError, Connector, Sender};
use samovar_model::{BootEpoch, HostId, HostRecord};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// Connections to all hosts.
pub(super) type Links = HashMap<HostId, Arc<HostLinks>>;

/// How often a host that cannot be reached is tried: at first, and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// There is no connection to the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoLink;

/// Connections to one host. Dropped, no new ones are made; those that there are end with their requests.
pub(super) struct HostLinks {
    address: String,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    host: HostId,
    /// One for each connection, empty while it is down.
    slots: Box<[ArcSwapOption<Sender>]>,
    next: AtomicUsize,
    /// How many are up.
    up: watch::Sender<usize>,
}

impl HostLinks {
    /// Begins to connect to a host. `reached` is called when the first connection comes up, and when the last one goes.
    pub(super) fn open(record: &HostRecord, connections: usize, connector: &Connector, reached: &Arc<Notify>) -> Self {
        let slots = (0..connections.max(1)).map(|_| ArcSwapOption::empty()).collect();
        let (up, _) = watch::channel(0);
        let shared = Arc::new(Shared { host: record.id.clone(), slots, next: AtomicUsize::new(0), up });
        let keep = |slot| Keeper {
            shared: Arc::clone(&shared),
            slot,
            address: record.address.clone(),
            epoch: record.epoch,
            connector: connector.clone(),
            reached: Arc::clone(reached),
        };
        let tasks = (0..shared.slots.len()).map(|slot| tokio::spawn(keep(slot).run()).abort_handle()).collect();
        Self { address: record.address.clone(), shared, tasks }
    }

    /// Where the host is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        *self.shared.up.borrow() > 0
    }

    /// A connection, in turn.
    pub(super) fn sender(&self) -> Result<Sender, NoLink> {
        let slots = &self.shared.slots;
        let first = self.shared.next.fetch_add(1, Relaxed);
        let live = |step: usize| {
            let sender = slots[first.wrapping_add(step) % slots.len()].load();
            sender.as_ref().filter(|sender| !sender.is_closed()).map(|sender| Sender::clone(sender))
        };
        (0..slots.len()).find_map(live).ok_or(NoLink)
    }

    /// The same, waiting for one to come up.
    pub(super) async fn sender_within(&self, patience: Duration) -> Result<Sender, NoLink> {
        if let Ok(sender) = self.sender() {
            return Ok(sender);
        }
        let mut up = self.shared.up.subscribe();
        let came = tokio::time::timeout(patience, up.wait_for(|up| *up > 0)).await;
        if came.is_err() { Err(NoLink) } else { self.sender() }
    }
}

impl Drop for HostLinks {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Keeps one connection up.
struct Keeper {
    shared: Arc<Shared>,
    slot: usize,
    address: String,
    /// The run that was first seen at this address: an earlier one is not the host any more.
    epoch: BootEpoch,
    connector: Connector,
    reached: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            match self.connected().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    told = false;
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                Err(error) => {
                    if self.slot == 0 && !told {
                        tracing::warn!(host = %self.shared.host, address = self.address, %error, "no connection to the host");
                        told = true;
                    }
                    tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// Connects, and waits until the connection ends.
    async fn connected(&self) -> Result<(), ConnectError> {
        let link = self.connector.connect(&self.address, &self.shared.host).await?;
        if link.welcome.epoch < self.epoch {
            return Err(ConnectError::Stranger("an earlier run of the host is there".to_owned()));
        }
        let ended = link.sender.clone();
        let up = Up::begin(self, link.sender);
        // A connection that is going away takes no more requests, and may live for long with those that it has.
        ended.closed().await;
        drop(up);
        Ok(())
    }
}

/// A connection that is up.
struct Up<'k>(&'k Keeper);

impl<'k> Up<'k> {
    fn begin(keeper: &'k Keeper, sender: Sender) -> Self {
        let shared = &keeper.shared;
        shared.slots[keeper.slot].store(Some(Arc::new(sender)));
        shared.up.send_modify(|up| *up += 1);
        if *shared.up.borrow() == 1 {
            keeper.reached.notify_one();
        }
        Self(keeper)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        shared.slots[self.0.slot].store(None);
        shared.up.send_modify(|up| *up -= 1);
        if *shared.up.borrow() == 0 {
            self.0.reached.notify_one();
        }
    }
}
