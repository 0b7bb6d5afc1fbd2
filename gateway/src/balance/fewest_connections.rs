//! `fewest_connections`: the host with the fewest requests in flight for its slots, as nginx's `least_conn` has it with weights.
//!
//! It looks at every host, each time: what it costs grows with the cluster.

use std::sync::Arc;

use super::candidates::Candidates;
use super::host::Host;

pub(crate) fn choose<'a>(candidates: &Candidates<'a>) -> Option<&'a Arc<Host>> {
    let count = candidates.len();
    if count == 0 {
        return None;
    }
    // From a place at random, so that hosts that are equal take turns.
    let start = fastrand::usize(..count);
    let around = (0..count).filter_map(|step| candidates.at((start + step) % count));
    // In integers: a over b is less than c over d when a times d is less than c times b.
    around.map(|host| (host, u64::from(host.in_flight()), u64::from(host.slots()))).reduce(fewer).map(|(host, ..)| host)
}

type Counted<'a> = (&'a Arc<Host>, u64, u64);

fn fewer<'a>(a: Counted<'a>, b: Counted<'a>) -> Counted<'a> {
    if b.1 * a.2 < a.1 * b.2 { b } else { a }
}
