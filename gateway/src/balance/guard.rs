//! A request that is under way to a host.

use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use super::placement::Placement;
use super::table::Fleet;

/// How a request's answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The host answered, whatever the function said.
    Served,
    /// The connection failed, or the answer is a 5xx that is the platform's own: the host may be at fault.
    Failed,
}

/// What a request's answer tells of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Whose fault, if any.
    pub outcome: Outcome,
    /// From when the host was picked to the answer's head.
    pub latency: Duration,
    /// Slots in use as the host saw them when it answered, this request's included; where it said so.
    pub load: Option<u32>,
}

/// Counts a request in flight to the host that was picked for it, until its answer's body has ended.
///
/// ```text
/// Sent       until `answered`; dropped here, the caller has left, and the host is counted one cancelled request
/// Answered   until `end`, with the time, or until it is dropped
/// ```
#[derive(Debug)]
#[must_use = "a request is in flight for as long as its guard lives"]
pub struct Guard {
    host: Arc<Host>,
    placement: Arc<Placement>,
    fleet: Arc<Fleet>,
    answered: bool,
    /// The last time that is known of it: it did not end before.
    heard: Duration,
    ended: bool,
}

impl Guard {
    pub(crate) fn new(host: &Arc<Host>, placement: &Arc<Placement>, fleet: &Arc<Fleet>, now: Duration) -> Self {
        host.begin();
        fleet.begin();
        placement.demand().begin(now);
        let (host, placement, fleet) = (Arc::clone(host), Arc::clone(placement), Arc::clone(fleet));
        Self { host, placement, fleet, answered: false, heard: now, ended: false }
    }

    /// The host that was picked.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Takes in what the answer's head told. The request stays in flight: its body is still coming.
    pub fn answered(&mut self, answer: Answer, now: Duration) {
        self.answered = true;
        self.heard = now;
        match answer.outcome {
            Outcome::Served => self.host.served(answer.latency, answer.load, now),
            // How long a failure took says nothing of how long an answer would take.
            Outcome::Failed => self.host.failed(now),
        }
    }

    /// Ends the request at this time.
    pub fn end(mut self, now: Duration) {
        self.heard = now;
        self.ended = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.answered {
            self.host.cancel();
        }
        match self.ended {
            true => self.placement.demand().end(self.heard),
            false => self.placement.demand().end_unknown(self.heard),
        }
        self.host.end();
        self.fleet.end();
    }
}
