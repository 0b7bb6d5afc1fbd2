//! What a gateway keeps for one function: the order in which it prefers hosts, and how many of them it needs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use samovar_model::HostId;

use super::demand::Demand;
use super::rendezvous::{Order, name_hash};
use super::table::HostTable;

/// The least that is kept of an order: a set of one with room to pass requests on, in one line of the cache.
const SHORTEST: usize = 16;

/// Where one function's requests go. One is made for each function and lives as long as its route.
#[derive(Debug)]
pub struct Placement {
    hash: u64,
    /// The most invocations of the function that one host runs at once.
    per_host: AtomicU32,
    /// Hosts that are not ready for the function, and until when they are passed over.
    unready: Mutex<Vec<(HostId, Duration)>>,
    /// Until when any of them is, in milliseconds.
    unready_until: AtomicU64,
    demand: Demand,
    order: ArcSwap<Order>,
}

impl Placement {
    /// For the function of this name, which is what the order follows from: namespace and function, not the revision, so that
    /// a deploy finds its hosts where they were.
    pub fn new(function: &str) -> Self {
        let per_host = AtomicU32::new(u32::MAX);
        Self {
            hash: name_hash(function),
            per_host,
            unready: Mutex::default(),
            unready_until: AtomicU64::new(0),
            demand: Demand::new(),
            order: ArcSwap::default(),
        }
    }

    /// Says how many invocations of the function one host runs at once, whatever its slots; without a word they are its slots.
    pub fn limit(&self, per_host: u32) {
        self.per_host.store(per_host.max(1), Relaxed);
    }

    /// How many invocations of the function a host with so many slots runs at once.
    pub(crate) fn slots_of(&self, slots: f64) -> f64 {
        slots.min(f64::from(self.per_host.load(Relaxed)))
    }

    /// Passes a host over for this function, where there are others, until then.
    pub fn pass_over(&self, host: HostId, until: Duration) {
        let mut unready = self.unready.lock().unwrap_or_else(PoisonError::into_inner);
        unready.retain(|(known, _)| *known != host);
        unready.push((host, until));
        self.unready_until.fetch_max(until.as_millis() as u64, Relaxed);
    }

    /// Hosts that are passed over at this time.
    pub fn passed_over(&self, now: Duration) -> Vec<HostId> {
        if self.unready_until.load(Relaxed) <= now.as_millis() as u64 {
            return Vec::new();
        }
        let mut unready = self.unready.lock().unwrap_or_else(PoisonError::into_inner);
        unready.retain(|(_, until)| now < *until);
        unready.iter().map(|(host, _)| host.clone()).collect()
    }

    /// The function's requests in flight through this gateway, and what follows from them.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// At least the first `wanted` of the function's order, as far as there are hosts. It is made anew only when hosts come
    /// and go, or more of it is wanted than ever before.
    pub(crate) fn order(&self, table: &HostTable, wanted: usize) -> arc_swap::Guard<Arc<Order>> {
        let wanted = wanted.min(table.hosts().len());
        let order = self.order.load();
        if order.version == table.version() && order.ranked.len() >= wanted {
            return order;
        }
        let length = wanted.next_power_of_two().max(SHORTEST);
        let order = Arc::new(Order::new(self.hash, table, length));
        self.order.store(Arc::clone(&order));
        arc_swap::Guard::from_inner(order)
    }
}
