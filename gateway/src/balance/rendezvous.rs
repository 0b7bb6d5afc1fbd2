//! The order in which a function prefers hosts: the same on every gateway, from nothing but names and slots.
//!
//! Rendezvous hashing (Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", University of Michigan, 1996):
//! every host gets a score for the function, and the highest score comes first. Adding a host moves only what it wins,
//! losing one only what it had. Scores are weighted by slots with the logarithmic method (Schindelhauer and Schomaker,
//! "Weighted Distributed Hash Tables", SPAA 2005), so that a host with twice the slots is first for twice the functions.

use super::host::Host;
use super::table::HostTable;

/// The beginning of a function's order, as positions in the table of one version.
#[derive(Debug, Default)]
pub(crate) struct Order {
    pub(crate) version: u64,
    pub(crate) ranked: Box<[u32]>,
}

impl Order {
    /// The first `length` of the hosts in the function's order.
    pub(crate) fn new(function: u64, table: &HostTable, length: usize) -> Self {
        let hosts = table.hosts();
        let mut scored: Vec<(f64, u32)> =
            (0u32..).zip(hosts).map(|(position, host)| (score(function, host), position)).collect();
        let length = length.min(scored.len());
        let descending = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if length < scored.len() {
            scored.select_nth_unstable_by(length, descending);
            scored.truncate(length);
        }
        scored.sort_unstable_by(descending);
        Self { version: table.version(), ranked: scored.into_iter().map(|(_, position)| position).collect() }
    }
}

/// A host's score for a function; higher is preferred.
fn score(function: u64, host: &Host) -> f64 {
    let hash = mix(function ^ host.hash());
    // The upper 53 bits as a number between 0 and 1, neither of them included.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(host.slots()) / uniform.ln()
}

/// A name's hash, the same in every process and version: FNV-1a (Fowler, Noll, Vo, 64 bits), mixed, since FNV alone leaves
/// names that differ in their last letter close together.
pub(crate) fn name_hash(name: &str) -> u64 {
    let fnv = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(fnv)
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_hash_never_changes() {
        // Gateways of different versions must agree: a change of this number moves every function of a running cluster.
        assert_eq!(name_hash("hello"), 17_575_560_079_636_620_544);
    }
}
