//! The gateways that run jobs, as the index knows them, and which of them is the first to take a job.

use std::collections::BTreeSet;
use std::time::Duration;

use samovar_model::{GatewayId, GatewayState, JobId};

use crate::gateways::GatewayTable;

/// How long a gateway that is second for a job leaves it to the first; for each one more that is before it, it is half of that more.
const HOLD_BACK: Duration = Duration::from_millis(400);
/// The longest that a job is left to others.
const MOST: Duration = Duration::from_secs(2);

/// What is thought of the gateway that runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Alive,
    Gone,
    /// Nobody has heard of it yet: it may have joined just now. It has this long to be heard.
    Unknown(Duration),
}

/// The gateways.
pub(super) struct Members {
    runner: Option<GatewayId>,
    unknown: Duration,
    /// Those that are not gone.
    alive: BTreeSet<GatewayId>,
    /// Those that take jobs, and what their names come to.
    ready: Vec<(GatewayId, u64)>,
    /// All that were ever alive, as far as this process knows.
    met: BTreeSet<GatewayId>,
}

impl Members {
    pub(super) fn new(runner: Option<GatewayId>, unknown: Duration) -> Self {
        Self { runner, unknown, alive: BTreeSet::new(), ready: Vec::new(), met: BTreeSet::new() }
    }

    /// Takes which gateways there are; whether that changed anything.
    pub(super) fn meet(&mut self, gateways: &GatewayTable) -> bool {
        let of = |is: fn(GatewayState) -> bool| {
            let members = gateways.iter().filter(move |(_, member)| is(member.state));
            members.map(|(id, _)| id.clone())
        };
        let alive: BTreeSet<_> = of(|state| state != GatewayState::Gone).collect();
        let ready: Vec<_> = of(|state| state == GatewayState::Ready).map(|id| (id.clone(), hash(&id))).collect();
        let changed = alive != self.alive || ready != self.ready;
        self.met.extend(gateways.keys().cloned());
        (self.alive, self.ready) = (alive, ready);
        changed
    }

    /// Whether this process runs jobs, and others know that it is there.
    pub(super) fn is_joined(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| self.alive.contains(runner))
    }

    /// What is thought of a gateway that runs a job which is not in hand here.
    pub(super) fn owner(&self, owner: &GatewayId) -> Owner {
        if self.runner.as_ref() == Some(owner) {
            // It has lost sight of it: an answer was lost, or an outcome could not be stored.
            Owner::Gone
        } else if self.alive.contains(owner) {
            Owner::Alive
        } else if self.met.contains(owner) {
            Owner::Gone
        } else {
            Owner::Unknown(self.unknown)
        }
    }

    /// How long this process leaves a job that is due to others: rendezvous hashing gives each job its own order of gateways.
    pub(super) fn holds_back(&self, job: JobId) -> Duration {
        let Some(runner) = &self.runner else { return Duration::ZERO };
        let own = mix(job, hash(runner));
        let before = self.ready.iter().filter(|(id, name)| id != runner && mix(job, *name) > own).count();
        let Some(further) = u32::try_from(before).unwrap_or(u32::MAX).checked_sub(1) else { return Duration::ZERO };
        // Not two at the same moment, and not all of a gateway's jobs in the order in which that takes them.
        let spread = HOLD_BACK.mul_f64(f64::from((own & 0xffff) as u32) / 65536.0);
        (HOLD_BACK + spread).saturating_add((HOLD_BACK / 2).saturating_mul(further)).min(MOST + spread)
    }
}

/// FNV-1a, so that all gateways have the same order, whatever they were built with.
fn hash(id: &GatewayId) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The weight of a gateway for a job, by the last steps of SplitMix64.
fn mix(job: JobId, name: u64) -> u64 {
    let number = job.number();
    let mut x = name ^ (number as u64) ^ ((number >> 64) as u64);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use samovar_model::{GatewayMember, GatewayRecord};

    use super::*;

    fn table(gateways: &[(&str, GatewayState)]) -> GatewayTable {
        let member = |(name, state): &(&str, GatewayState)| {
            let id: GatewayId = name.parse().unwrap();
            let (address, version) = ("127.0.0.1:1".to_owned(), "1".to_owned());
            let record = GatewayRecord { id: id.clone(), address, version, started: Timestamp::UNIX_EPOCH, routed: 0 };
            (id, GatewayMember { record: record.into(), state: *state })
        };
        gateways.iter().map(member).collect()
    }

    fn of(name: &str, gateways: &[(&str, GatewayState)]) -> Members {
        let mut members = Members::new(Some(name.parse().unwrap()), Duration::from_secs(15));
        members.meet(&table(gateways));
        members
    }

    #[test]
    fn exactly_one_gateway_takes_a_job_at_once_and_each_has_its_share() {
        use GatewayState::Ready;
        let names = ["a", "b", "c"];
        let all = names.map(|name| (name, Ready));
        let members = names.map(|name| of(name, &all));
        let mut firsts = [0; 3];
        for number in 0..3000_u128 {
            let job = JobId::from_number(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
            let mut held_back = members.each_ref().map(|members| members.holds_back(job));
            let first = held_back.iter().position(|hold| hold.is_zero()).unwrap();
            firsts[first] += 1;
            held_back.sort();
            assert!(held_back[1] >= HOLD_BACK && held_back[2] <= 3 * HOLD_BACK, "{held_back:?}");
        }
        assert!(firsts.iter().all(|share| (800..1200).contains(share)), "{firsts:?}");
    }

    #[test]
    fn a_gateway_that_is_gone_or_left_has_lost_its_jobs_and_one_that_is_new_has_not() {
        use GatewayState::{Gone, Ready, Suspect};
        let mut members = of("a", &[("a", Ready), ("b", Suspect), ("c", Gone), ("d", Ready)]);
        members.meet(&table(&[("a", Ready), ("b", Suspect), ("c", Gone)]));
        let owner = |name: &str| members.owner(&name.parse().unwrap());
        assert_eq!((owner("b"), owner("c"), owner("d")), (Owner::Alive, Owner::Gone, Owner::Gone));
        assert_eq!(owner("e"), Owner::Unknown(Duration::from_secs(15)));
        assert_eq!(owner("a"), Owner::Gone, "what it holds and has not in hand, it has lost sight of");
        assert!(members.is_joined());
    }
}
