//! `adaptive`: a function stays on few hosts, where it is warm, and on no fewer than it needs.
//!
//! ```text
//! order    the function's hosts by rendezvous hashing: the same on every gateway
//! set      the first of them, as many as its demand wants
//! two      of the set at random; the one with more of its slots free, counting what others have given it
//! pass on  along the order, where that one is above 1.25 times the mean and past what hosts are sized for
//! ```
//!
//! What simulation has taught (`docs/cluster-simulation.md`): the mean is taken of the order's first hosts, not of the set
//! alone, or a set of one would never pass on; a host with slots to spare passes nothing on, which would be a cold start for
//! nothing; latency does not count, since a host's latency is mostly that of the functions that it happens to run, from
//! milliseconds to half a minute, and a host that is slow shows it by slots that stay in use.

use std::sync::Arc;

use super::candidates::{Candidates, two_below};
use super::demand::TARGET;
use super::hash::BOUND;
use super::host::Host;
use super::p2c;
use super::placement::Placement;
use super::rendezvous::Order;
use super::table::Fleet;

/// How many hosts after the set a request may be passed on to.
const BEYOND: usize = 16;
/// How many hosts the mean is taken of: a sample, so that a set of a thousand costs what a set of one does. Which of the hosts
/// these are differs from function to function.
const SAMPLE: usize = 16;

pub(crate) fn choose<'a>(candidates: &Candidates<'a>, placement: &Placement, fleet: &Fleet) -> Option<&'a Arc<Host>> {
    let Candidates { table, now, .. } = *candidates;
    let share = fleet.share(table, now);
    let size = placement.demand().hosts(now, || placement.slots_of(table.slots_per_host()) * f64::from(share)) as usize;
    // Where hosts of the set are excluded, those after them take their places.
    let size = size.saturating_add(candidates.excluded.len());
    let order = placement.order(table, size.saturating_add(BEYOND));
    let view = View { candidates, order: &order, share };
    let preferred = view.better_of_two(size.min(order.ranked.len()))?;
    let used = view.used(preferred);
    // No bound is lower than this: most requests need not look at other hosts.
    if used <= TARGET as f32 {
        return Some(preferred);
    }
    let most = view.bound();
    if used <= most { Some(preferred) } else { view.pass_on(most) }
}

/// What the choice is made from: a function's order, as this gateway sees the hosts in it.
struct View<'v, 'a> {
    candidates: &'v Candidates<'a>,
    order: &'v Order,
    share: f32,
}

impl<'a> View<'_, 'a> {
    /// The hosts in the function's order.
    fn hosts(&self) -> impl Iterator<Item = &'a Arc<Host>> {
        self.order.ranked.iter().filter_map(|position| self.candidates.at(*position as usize))
    }

    /// The part of a host's slots that would be in use with this request.
    fn used(&self, host: &Host) -> f32 {
        (host.load(self.share, self.candidates.now) + 1.0) / host.slots() as f32
    }

    /// The better of two at random among the first `size` of the order.
    fn better_of_two(&self, size: usize) -> Option<&'a Arc<Host>> {
        if size < 2 {
            return self.hosts().next();
        }
        let at = |rank: usize| self.candidates.at(self.order.ranked[rank] as usize);
        let (first, second) = two_below(size);
        match (at(first), at(second)) {
            (Some(a), Some(b)) => Some(if self.used(b) < self.used(a) { b } else { a }),
            (Some(host), None) | (None, Some(host)) => Some(host),
            (None, None) => self.hosts().next(),
        }
    }

    /// The part of its slots past which a host passes on: 1.25 times the mean. At least what hosts are sized for, since a host
    /// that has slots to spare has no reason to have a function start cold elsewhere; at most all of them, since a function
    /// that has filled its hosts must not raise the mean that it is held to.
    fn bound(&self) -> f32 {
        let (sum, count) =
            self.hosts().take(SAMPLE).fold((0.0, 0u16), |(sum, count), host| (sum + self.used(host), count + 1));
        let mean = sum / f32::from(count.max(1));
        (BOUND as f32 * mean).clamp(TARGET as f32, 1.0)
    }

    /// The first along the order that is not above `most`; or else the least used of them, or one of two anywhere if it is full.
    fn pass_on(&self, most: f32) -> Option<&'a Arc<Host>> {
        let mut least: Option<(f32, &Arc<Host>)> = None;
        for host in self.hosts() {
            let used = self.used(host);
            if used <= most {
                return Some(host);
            }
            if least.is_none_or(|(before, _)| used < before) {
                least = Some((used, host));
            }
        }
        let (used, host) = least?;
        if used <= 1.0 {
            return Some(host);
        }
        let elsewhere = p2c::by(self.candidates, |host| self.used(host))?;
        Some(if self.used(elsewhere) < used { elsewhere } else { host })
    }
}
