//! `random`: any host.

use std::sync::Arc;

use super::candidates::Candidates;
use super::host::Host;

pub(crate) fn choose<'a>(candidates: &Candidates<'a>) -> Option<&'a Arc<Host>> {
    match candidates.len() {
        0 => None,
        count => candidates.from(fastrand::usize(..count)),
    }
}
