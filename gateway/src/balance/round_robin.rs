//! `round_robin`: one host after the other, for all functions together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::candidates::Candidates;
use super::host::Host;

pub(crate) fn choose<'a>(candidates: &Candidates<'a>, turn: &AtomicUsize) -> Option<&'a Arc<Host>> {
    let turn = turn.fetch_add(1, Relaxed);
    match candidates.len() {
        0 => None,
        count => candidates.from(turn % count),
    }
}
