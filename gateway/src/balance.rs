//! The choice of a host for each request: [`Balancer::pick`]. No I/O, no timers; the time is passed in, from any fixed point,
//! the same for all calls. The gateway passes the time since its start, the simulation its own.
//!
//! ```text
//! membership --update--> table of hosts --pick, by policy--> Guard --answered, end--> the host's numbers
//! ```
//!
//! A [`Balancer`] knows the hosts; a [`Placement`] is what it keeps for one function; a [`Guard`] is one request in flight. Each
//! policy is a file of its own. Requests take no lock and, as long as hosts neither come nor go, allocate nothing.

mod adaptive;
mod candidates;
pub mod demand;
pub mod ejection;
mod fewest_connections;
mod guard;
mod hash;
mod host;
pub mod latency;
mod p2c;
mod placement;
mod policy;
mod random;
mod rendezvous;
pub mod retry_budget;
mod round_robin;
mod table;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use candidates::Candidates;
pub use guard::{Answer, Guard, Outcome};
pub use hash::BOUND;
pub use host::{Host, HostInfo, LOAD_FADES, Standing};
pub use placement::Placement;
pub use policy::{Policy, UnknownPolicy};
use samovar_model::HostId;
use table::Fleet;

/// Picks hosts by one policy.
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    fleet: Arc<Fleet>,
    /// Of `round_robin`.
    turn: AtomicUsize,
}

/// No host can take the request: none is known but draining ones, or it has been to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no host for the request: {pickable} can be picked, {excluded} of them tried")]
pub struct NoHost {
    /// Hosts that can be picked.
    pub pickable: usize,
    /// Hosts that the request was not to go to.
    pub excluded: usize,
}

impl Balancer {
    /// A balancer without hosts.
    pub fn new(policy: Policy) -> Self {
        Self { policy, fleet: Arc::new(Fleet::new()), turn: AtomicUsize::new(0) }
    }

    /// Its policy.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Takes membership's word: these hosts are there, and no others. A host that stays keeps its numbers.
    pub fn update(&self, hosts: impl IntoIterator<Item = HostInfo>, now: Duration) {
        self.fleet.update(hosts, &Arc::downgrade(&self.fleet), now);
    }

    /// Picks a host for a request of the function that the placement is for. One that failed goes into `excluded` before the
    /// request is tried again.
    ///
    /// # Errors
    /// When there is none.
    pub fn pick(&self, placement: &Arc<Placement>, excluded: &[HostId], now: Duration) -> Result<Guard, NoHost> {
        let table = self.fleet.table(now);
        let candidates = Candidates { table: &table, excluded, now };
        let host = match self.policy {
            Policy::Adaptive => adaptive::choose(&candidates, placement, &self.fleet),
            Policy::Hash => hash::choose(&candidates, placement, self.fleet.in_flight()),
            Policy::P2c => p2c::choose(&candidates),
            Policy::FewestConnections => fewest_connections::choose(&candidates),
            Policy::RoundRobin => round_robin::choose(&candidates, &self.turn),
            Policy::Random => random::choose(&candidates),
        };
        let host = host.ok_or(NoHost { pickable: table.hosts().len(), excluded: excluded.len() })?;
        Ok(Guard::new(host, placement, &self.fleet, now))
    }

    /// The host that is hinted at, if it can be picked and has a slot to spare.
    pub fn pick_hinted(
        &self,
        placement: &Arc<Placement>,
        hint: &HostId,
        excluded: &[HostId],
        now: Duration,
    ) -> Option<Guard> {
        let table = self.fleet.table(now);
        let share = self.fleet.share(&table, now);
        let host = table.hosts().iter().find(|host| host.id() == hint && !excluded.contains(hint))?;
        let has_room = host.load(share, now) + 1.0 <= host.slots() as f32;
        has_room.then(|| Guard::new(host, placement, &self.fleet, now))
    }

    /// Every host that is known, and its state.
    pub fn hosts(&self, now: Duration) -> Vec<(Arc<Host>, Standing)> {
        self.fleet.hosts(now)
    }
}

#[cfg(test)]
mod tests;
