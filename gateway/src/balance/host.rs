//! One host as this gateway knows it: what membership says, what this gateway counts, what the host's answers tell.

use std::sync::Weak;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use samovar_model::HostId;

use super::latency::PeakEwma;
use super::rendezvous::name_hash;
use super::table::Fleet;

/// How long a host's word on its load is worth something: it counts less the older it is, and nothing past this. A host that
/// this gateway has not heard of for so long may have been given anything by others.
pub const LOAD_FADES: Duration = Duration::from_secs(10);

/// Whether a host is given requests.
///
/// ```text
/// Ready      takes requests
/// Suspect    its lease is late or a probe failed: only where no host is ready
/// Ejected    it failed one request after the other: only where no host is ready or suspect
/// Draining   finishes what it has: never
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Takes requests.
    Ready,
    /// May be gone.
    Suspect,
    /// Fails what it is given. The gateway finds this itself; told from outside, it holds until the next word.
    Ejected,
    /// Is about to leave.
    Draining,
}

/// What membership says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// Its name.
    pub id: HostId,
    /// Invocations that it can run at once. Zero counts as one.
    pub slots: u32,
    /// Whether it takes requests.
    pub state: Standing,
}

/// A host's numbers. They change without locks; its state is in the table's snapshots.
#[derive(Debug)]
pub struct Host {
    id: HostId,
    hash: u64,
    slots: AtomicU32,
    /// Requests that this gateway has given it and that have not ended.
    in_flight: AtomicU32,
    /// What its last answer told of its load.
    report: Report,
    latency: PeakEwma,
    /// Failures since the last success.
    failed_in_a_row: AtomicU32,
    cancelled: AtomicU64,
    /// Weak, since the fleet has the hosts.
    fleet: Weak<Fleet>,
}

impl Host {
    pub(crate) fn new(id: HostId, slots: u32, fleet: Weak<Fleet>, now: Duration) -> Self {
        Self {
            hash: name_hash(id.as_str()),
            id,
            slots: AtomicU32::new(slots.max(1)),
            in_flight: AtomicU32::new(0),
            report: Report::default(),
            latency: PeakEwma::new(now),
            failed_in_a_row: AtomicU32::new(0),
            cancelled: AtomicU64::new(0),
            fleet,
        }
    }

    /// Its name.
    pub fn id(&self) -> &HostId {
        &self.id
    }

    /// Invocations that it can run at once; at least one.
    pub fn slots(&self) -> u32 {
        self.slots.load(Relaxed)
    }

    /// Requests of this gateway that it has not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Requests whose guard was dropped before an answer came: the caller left.
    pub fn cancelled(&self) -> u64 {
        self.cancelled.load(Relaxed)
    }

    /// Smoothed latency of its answers, in seconds.
    pub fn latency_seconds(&self, now: Duration) -> f32 {
        self.latency.seconds(now)
    }

    /// Slots in use as far as this gateway knows: its own requests, and those of others, as the host told or, where its word is
    /// old, as many as would be in proportion to this gateway's `share` of all requests.
    pub(crate) fn load(&self, share: f32, now: Duration) -> f32 {
        let own = self.in_flight() as f32;
        let Told { others, worth, .. } = self.told(now);
        own + others * worth + own * (1.0 / share - 1.0) * (1.0 - worth)
    }

    /// What its last answer told.
    pub(crate) fn told(&self, now: Duration) -> Told {
        self.report.read(now)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// True when that is a change.
    pub(crate) fn set_slots(&self, slots: u32) -> bool {
        self.slots.swap(slots.max(1), Relaxed) != slots.max(1)
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// A request of this gateway was served, and is still counted in flight.
    pub(crate) fn served(&self, latency: Duration, load: Option<u32>, now: Duration) {
        self.latency.observe(latency, now);
        // Read first: a write on every answer would have all cores fight for the line.
        if self.failed_in_a_row.load(Relaxed) != 0 {
            self.failed_in_a_row.store(0, Relaxed);
        }
        if let Some(load) = load {
            self.report.store(self.in_flight(), load, now);
        }
    }

    /// A request failed, and it is the host's or the way's fault.
    pub(crate) fn failed(&self, now: Duration) {
        let in_a_row = self.failed_in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        if let Some(fleet) = self.fleet.upgrade()
            && fleet.failing(&self.id, in_a_row, now)
        {
            self.failed_in_a_row.store(0, Relaxed);
        }
    }
}

/// A host's word on its load, in one word of memory: in the low quarters this gateway's part and that of others, at most
/// 65,535 each; in the high half when, in milliseconds modulo 2^32.
#[derive(Debug, Default)]
struct Report(AtomicU64);

/// A host's word on its load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// This gateway's requests in flight when it came.
    pub(crate) own: f32,
    /// Those of others.
    pub(crate) others: f32,
    /// From 1 when it is new to 0 when it is [`LOAD_FADES`] old.
    pub(crate) worth: f32,
}

impl Report {
    fn store(&self, own: u32, load: u32, now: Duration) {
        let quarter = |count: u32| u64::from(count.min(u32::from(u16::MAX)));
        let others = load.saturating_sub(own);
        self.0.store(u64::from(millis(now)) << 32 | quarter(others) << 16 | quarter(own), Relaxed);
    }

    fn read(&self, now: Duration) -> Told {
        let packed = self.0.load(Relaxed);
        let age = millis(now).wrapping_sub((packed >> 32) as u32).cast_signed().max(0);
        let worth = 1.0 - age as f32 / LOAD_FADES.as_millis() as f32;
        Told { own: f32::from(packed as u16), others: f32::from((packed >> 16) as u16), worth: worth.max(0.0) }
    }
}

fn millis(now: Duration) -> u32 {
    // Modulo 2^32 on purpose: only differences matter.
    now.as_millis() as u32
}
