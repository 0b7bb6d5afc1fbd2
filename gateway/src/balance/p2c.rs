//! `p2c`: the better of two hosts at random.
//!
//! Two choices make the most loaded host exponentially less loaded than one does (Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", IEEE TPDS 2001); better is what costs less by peak EWMA times requests in flight, as in
//! Finagle and linkerd2-proxy.

use std::sync::Arc;
use std::time::Duration;

use super::candidates::{Candidates, two_below};
use super::host::Host;

/// A latency below this is taken for it: requests in flight must count on hosts that have been idle, too.
const FASTEST_SECONDS: f32 = 1e-6;

pub(crate) fn choose<'a>(candidates: &Candidates<'a>) -> Option<&'a Arc<Host>> {
    by(candidates, |host| cost(host, candidates.now))
}

/// The one of two hosts at random that costs less.
pub(crate) fn by<'a>(candidates: &Candidates<'a>, cost: impl Fn(&Host) -> f32) -> Option<&'a Arc<Host>> {
    let count = candidates.len();
    if count < 2 {
        return candidates.from(0);
    }
    let (first, second) = two_below(count);
    match (candidates.at(first), candidates.at(second)) {
        (Some(a), Some(b)) => Some(if cost(b) < cost(a) { b } else { a }),
        (Some(host), None) | (None, Some(host)) => Some(host),
        (None, None) => candidates.from(first),
    }
}

fn cost(host: &Host, now: Duration) -> f32 {
    host.latency_seconds(now).max(FASTEST_SECONDS) * (host.in_flight() + 1) as f32
}
