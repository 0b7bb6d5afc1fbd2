//! Hosts that fail one request after the other are left alone for a while.
//!
//! The numbers are those of Envoy's outlier detection (`config.cluster.v3.OutlierDetection`), which ejects at most 10 % of the
//! hosts by default; here it is at most half, since losing half of a cluster's hosts to one cause, as a rack does, is what
//! this must survive, and more than half failing is more likely the gateway's own network.

use std::collections::HashMap;
use std::time::Duration;

use samovar_model::HostId;

/// Failures in a row that eject a host (Envoy's `consecutive_5xx`).
pub const FAILURES: u32 = 5;
/// How long a host is ejected for the first time, and by how much longer each further time (Envoy's `base_ejection_time`).
pub const FIRST: Duration = Duration::from_secs(30);
/// The longest that a host is ejected (Envoy's `max_ejection_time`).
pub const LONGEST: Duration = Duration::from_secs(300);
/// At most one in so many hosts is ejected at a time.
pub const AT_MOST_ONE_IN: usize = 2;

/// Which hosts are ejected, until when, and how often they were.
#[derive(Debug, Default)]
pub struct Ejections {
    hosts: HashMap<HostId, Ejection>,
}

#[derive(Debug, Clone, Copy)]
struct Ejection {
    times: u32,
    until: Duration,
}

impl Ejections {
    /// Ejects a host that failed `in_a_row` requests, of `known` hosts, if that is enough and not too many are out already.
    pub fn failing(&mut self, host: &HostId, in_a_row: u32, known: usize, now: Duration) -> bool {
        if in_a_row < FAILURES || self.is_ejected(host, now) {
            return false;
        }
        let out = self.hosts.values().filter(|ejection| now < ejection.until).count();
        if (out + 1) * AT_MOST_ONE_IN > known {
            return false;
        }
        let times = self.hosts.get(host).map_or(0, |ejection| remembered(ejection, now)) + 1;
        let until = now + (FIRST * times).min(LONGEST);
        self.hosts.insert(host.clone(), Ejection { times, until });
        true
    }

    /// Whether the host is left alone at this time.
    pub fn is_ejected(&self, host: &HostId, now: Duration) -> bool {
        self.hosts.get(host).is_some_and(|ejection| now < ejection.until)
    }

    /// When the next host comes back.
    pub fn next_return(&self, now: Duration) -> Option<Duration> {
        self.hosts.values().map(|ejection| ejection.until).filter(|until| *until > now).min()
    }

    /// Forgets hosts that are known no more, and those that have behaved for long enough.
    pub fn retain(&mut self, known: impl Fn(&HostId) -> bool, now: Duration) {
        self.hosts.retain(|host, ejection| known(host) && (now < ejection.until || remembered(ejection, now) > 0));
    }
}

/// How many of a host's ejections still count: one is forgotten for every [`FIRST`] without (as Envoy lowers its multiplier).
fn remembered(ejection: &Ejection, now: Duration) -> u32 {
    let behaved = now.saturating_sub(ejection.until).as_secs() / FIRST.as_secs();
    ejection.times.saturating_sub(u32::try_from(behaved).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_is_ejected_at_the_fifth_failure_in_a_row_and_returns() {
        let (mut ejections, host) = (Ejections::default(), "a".parse::<HostId>().unwrap());
        assert!(!ejections.failing(&host, 4, 3, seconds(0)));
        assert!(ejections.failing(&host, 5, 3, seconds(0)));
        assert!(ejections.is_ejected(&host, seconds(29)));
        assert_eq!(ejections.next_return(seconds(29)), Some(seconds(30)));
        assert!(!ejections.is_ejected(&host, seconds(30)));
        assert_eq!(ejections.next_return(seconds(30)), None);
    }

    #[test]
    fn the_time_grows_to_five_minutes_and_good_behaviour_shortens_it() {
        let (mut ejections, host) = (Ejections::default(), "a".parse::<HostId>().unwrap());
        let mut now = seconds(0);
        for times in 1..=12u64 {
            assert!(ejections.failing(&host, 5, 3, now));
            let until = ejections.next_return(now).unwrap();
            assert_eq!((until - now).as_secs(), (30 * times).min(300));
            now = until;
        }
        // Nine of the twelve are forgotten.
        now += 9 * FIRST;
        assert!(ejections.failing(&host, 5, 3, now));
        assert_eq!(ejections.next_return(now).unwrap() - now, 4 * FIRST);
    }

    #[test]
    fn never_more_than_half_of_the_hosts() {
        for known in 1..10 {
            let mut ejections = Ejections::default();
            let hosts: Vec<_> = (0..known).map(|number| format!("{number}").parse::<HostId>().unwrap()).collect();
            let out = hosts.iter().filter(|host| ejections.failing(host, 5, known, seconds(0))).count();
            assert_eq!(out, known / 2);
        }
    }

    #[test]
    fn hosts_that_left_are_forgotten() {
        let (mut ejections, host) = (Ejections::default(), "a".parse::<HostId>().unwrap());
        assert!(ejections.failing(&host, 5, 3, seconds(0)));
        ejections.retain(|_| false, seconds(1));
        assert!(!ejections.is_ejected(&host, seconds(1)));
    }
}
