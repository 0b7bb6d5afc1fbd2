//! `hash`: the first host in the function's order that has room.
//!
//! "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup and Zadimoghaddam, SODA 2018) over rendezvous order: no host has
//! more than 1.25 times its part of this gateway's requests in flight. 1.25 is what Vimeo found good in HAProxy
//! (`hash-balance-factor`, 2016): the most loaded host is near the mean, and nearly all requests are where they belong.

use std::sync::Arc;

use super::candidates::Candidates;
use super::host::Host;
use super::placement::Placement;

/// How far above its part of all requests in flight a host may be.
pub const BOUND: f64 = 1.25;

/// How many preferred hosts are tried before all of them are ranked.
const FIRST_TRIED: usize = 16;

pub(crate) fn choose<'a>(
    candidates: &Candidates<'a>,
    placement: &Placement,
    in_flight: usize,
) -> Option<&'a Arc<Host>> {
    let per_slot = BOUND * (in_flight + 1) as f64 / candidates.table.slots().max(1) as f64;
    let has_room = |host: &&Arc<Host>| f64::from(host.in_flight()) < (per_slot * f64::from(host.slots())).ceil();
    let mut first = None;
    for length in [FIRST_TRIED, candidates.len()] {
        let order = placement.order(candidates.table, length);
        let mut preferred = order.ranked.iter().filter_map(|position| candidates.at(*position as usize)).peekable();
        first = first.or(preferred.peek().copied());
        if let Some(host) = preferred.find(has_room) {
            return Some(host);
        }
    }
    // Only where those with room are excluded.
    first
}
