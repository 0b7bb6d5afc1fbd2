//! The hosts that a gateway knows. Membership and ejections change the list under a lock, seldom; requests read a snapshot that
//! has only the hosts that may be picked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use samovar_model::HostId;

use super::ejection::Ejections;
use super::host::{Host, HostInfo, Standing};

/// The hosts that may be picked, as of one moment: all that are ready, or if there are none, all that are suspect, or if there
/// are none of those either, all that are ejected.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    version: u64,
    hosts: Box<[Arc<Host>]>,
    slots: u64,
}

impl HostTable {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// Slots of all its hosts.
    pub(crate) fn slots(&self) -> u64 {
        self.slots
    }

    pub(crate) fn slots_per_host(&self) -> f64 {
        self.slots as f64 / self.hosts.len().max(1) as f64
    }
}

/// All hosts, whatever their state.
#[derive(Debug)]
pub(crate) struct Fleet {
    table: ArcSwap<HostTable>,
    known: Mutex<Known>,
    /// When the next ejected host returns, in milliseconds; `u64::MAX` when none is.
    next_return: AtomicU64,
    /// Requests in flight to all hosts.
    in_flight: AtomicUsize,
    /// This gateway's part of the hosts' load as `f32` in the low half, the second that it is of in the high one.
    share: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    hosts: Vec<(Arc<Host>, Standing)>,
    ejections: Ejections,
    version: u64,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self {
            table: ArcSwap::default(),
            known: Mutex::default(),
            next_return: AtomicU64::new(u64::MAX),
            in_flight: AtomicUsize::new(0),
            share: AtomicU64::new(u64::from(1f32.to_bits())),
        }
    }

    /// The hosts that may be picked now.
    pub(crate) fn table(&self, now: Duration) -> arc_swap::Guard<Arc<HostTable>> {
        if self.next_return.load(Relaxed) <= now.as_millis() as u64 {
            self.publish(&mut self.known(), false, now);
        }
        self.table.load()
    }

    /// Takes membership's word: these hosts are there, and no others. A host that stays keeps its numbers.
    pub(crate) fn update(&self, told: impl IntoIterator<Item = HostInfo>, fleet: &Weak<Self>, now: Duration) {
        let mut known = self.known();
        let before = std::mem::take(&mut known.hosts).into_iter();
        let mut before: HashMap<HostId, Arc<Host>> = before.map(|(host, _)| (host.id().clone(), host)).collect();
        let mut resized = false;
        let take = |info: HostInfo| {
            let host = match before.remove(&info.id) {
                Some(host) => {
                    resized |= host.set_slots(info.slots);
                    host
                }
                None => Arc::new(Host::new(info.id, info.slots, Weak::clone(fleet), now)),
            };
            (host, info.state)
        };
        let mut hosts: Vec<_> = told.into_iter().map(take).collect();
        // Sorted, so that what follows from positions is the same on every gateway.
        hosts.sort_by(|a, b| a.0.id().cmp(b.0.id()));
        hosts.dedup_by(|a, b| a.0.id() == b.0.id());
        known.hosts = hosts;
        self.publish(&mut known, resized, now);
    }

    /// A host failed so many requests in a row. True when that has ejected it.
    pub(crate) fn failing(&self, host: &HostId, in_a_row: u32, now: Duration) -> bool {
        if in_a_row < super::ejection::FAILURES {
            return false;
        }
        let mut known = self.known();
        let count = known.hosts.len();
        let ejected = known.ejections.failing(host, in_a_row, count, now);
        if ejected {
            self.publish(&mut known, false, now);
        }
        ejected
    }

    /// Every host with its state.
    pub(crate) fn hosts(&self, now: Duration) -> Vec<(Arc<Host>, Standing)> {
        let known = self.known();
        known.hosts.iter().map(|(host, told)| (Arc::clone(host), state(&known.ejections, host, *told, now))).collect()
    }

    /// Requests in flight to all hosts.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// The part of the hosts' load that comes through this gateway, above 0 and at most 1: what the hosts say of the load of
    /// others tells it how many other gateways there are, without asking them. Found once a second.
    pub(crate) fn share(&self, table: &HostTable, now: Duration) -> f32 {
        let second = now.as_secs() & 0xffff_ffff;
        let packed = self.share.load(Relaxed);
        let share = f32::from_bits(packed as u32);
        if packed >> 32 == second {
            return share;
        }
        let (own, all) = table.hosts().iter().fold((0.0, 0.0), |(own, all), host| {
            let told = host.told(now);
            (own + told.own * told.worth, all + (told.own + told.others) * told.worth)
        });
        // One request more than there is, so that a gateway without any takes itself for one of few, not for none.
        let current = (own + 1.0) / (all + 1.0);
        // Smoothed, since requests in flight of one moment are few on a small cluster.
        let share = share + SHARE_STEP * (current - share);
        self.share.store(second << 32 | u64::from(share.to_bits()), Relaxed);
        share
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the snapshot that requests read, if it is another one than there is: a new one has every function's order made anew.
    fn publish(&self, known: &mut Known, resized: bool, now: Duration) {
        let Known { hosts, ejections, version } = known;
        ejections.retain(|id| hosts.iter().any(|(host, _)| host.id() == id), now);
        let states: Vec<_> = hosts.iter().map(|(host, told)| state(ejections, host, *told, now)).collect();
        let best = states.iter().copied().filter(|state| *state != Standing::Draining).min();
        let pickable = hosts.iter().zip(&states).filter(|(_, state)| Some(**state) == best);
        let hosts: Box<[_]> = pickable.map(|((host, _), _)| Arc::clone(host)).collect();
        let slots = hosts.iter().map(|host| u64::from(host.slots())).sum();
        let same = |(a, b): (&Arc<Host>, &Arc<Host>)| Arc::ptr_eq(a, b);
        let current = self.table.load();
        if resized || current.hosts.len() != hosts.len() || !current.hosts.iter().zip(&hosts).all(same) {
            *version += 1;
            self.table.store(Arc::new(HostTable { version: *version, hosts, slots }));
        }
        let next = ejections.next_return(now).map_or(u64::MAX, |at| at.as_millis() as u64);
        self.next_return.store(next, Relaxed);
    }
}

/// How much of the way to what it is now the gateway's share goes in a second.
const SHARE_STEP: f32 = 0.2;

/// A host's state: what membership says of it, or that this gateway has ejected it.
fn state(ejections: &Ejections, host: &Host, told: Standing, now: Duration) -> Standing {
    if ejections.is_ejected(host.id(), now) { told.max(Standing::Ejected) } else { told }
}
