//! What a process knows of open jobs in memory: which are due when, and which somebody runs. It follows the stream, and is only ever
//! a hint: a job is taken by whoever writes that first.
//!
//! A job is each gateway's own to a different degree, so that not all go for it at once: the one that the hash of both ranks
//! first takes it when it is due, the others a moment later, at a time of their own, if it is still there then.
//!
//! States of a job here: due (in a set by its function), held (by a gateway that is alive), or in hand (this process takes it, or
//! runs it). One that was held by a gateway that is gone, or by this one without being in hand, is due.

mod members;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use samovar_model::{FunctionName, GatewayId, JobId, JobState};

use super::stored::Standing;
use crate::gateways::GatewayTable;
use members::{Members, Owner};

/// The open jobs.
pub(super) struct Index {
    members: Members,
    jobs: HashMap<JobId, Open>,
    /// By function, so that one whose jobs are not to be taken now costs nothing; there is no empty set. The time is when this
    /// gateway takes it.
    due: BTreeMap<FunctionName, BTreeSet<(Timestamp, JobId)>>,
    in_hand: HashSet<JobId>,
    /// Jobs that this process has ended, before it was told so by the stream: what it is told of them meanwhile is old.
    ended: HashMap<JobId, u64>,
    /// How many there are in each state, when nobody runs them.
    states: BTreeMap<JobState, u64>,
    /// How many of these somebody runs.
    running: BTreeMap<JobState, u64>,
}

/// An open job.
struct Open {
    /// The sequence of its message.
    sequence: u64,
    standing: Standing,
    /// When this was heard.
    heard: Timestamp,
    /// Before then it is left alone here.
    not_before: Option<Timestamp>,
    placed: Placed,
}

/// Where a job is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// In the set of its function, at this time.
    Due(Timestamp),
    /// Among those that somebody runs, or takes.
    Held,
}

/// What there is to take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This job is in hand now.
    Try(JobId, FunctionName),
    /// Nothing yet; at this time there will be.
    At(Timestamp),
    /// Nothing.
    Nothing,
}

impl Index {
    /// Of a process that runs jobs as this gateway, if it does. A gateway of which nobody has ever heard is alive for `unknown`.
    pub(super) fn new(runner: Option<GatewayId>, unknown: Duration) -> Self {
        Self {
            members: Members::new(runner, unknown),
            jobs: HashMap::new(),
            due: BTreeMap::new(),
            in_hand: HashSet::new(),
            ended: HashMap::new(),
            states: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Takes what this process has written: an open job, or that it is none any more.
    pub(super) fn wrote(&mut self, id: JobId, sequence: u64, standing: Option<Standing>) {
        // Where it is not known any more, the stream has told it first.
        if standing.is_none() && self.jobs.contains_key(&id) {
            self.ended.insert(id, sequence);
        }
        self.learn(id, sequence, standing);
    }

    /// Forgets a job that is not there, nor anything that says why.
    pub(super) fn forget(&mut self, id: JobId) {
        self.remove(id);
    }

    /// Takes what the stream tells.
    pub(super) fn hear(&mut self, id: JobId, sequence: u64, standing: Option<Standing>) {
        match self.ended.get(&id) {
            Some(ended) if sequence < *ended => return,
            Some(_) => drop(self.ended.remove(&id)),
            None => {}
        }
        self.learn(id, sequence, standing);
    }

    fn learn(&mut self, id: JobId, sequence: u64, standing: Option<Standing>) {
        if self.jobs.get(&id).is_some_and(|known| known.sequence >= sequence) {
            return;
        }
        self.remove(id);
        if let Some(standing) = standing {
            let open = Open { sequence, standing, heard: Timestamp::now(), not_before: None, placed: Placed::Held };
            self.insert(id, open);
        }
    }

    /// Takes that everything up to this sequence was told: jobs that were not are none any more.
    pub(super) fn only(&mut self, told: &HashSet<JobId>, up_to: u64) {
        let gone = self.jobs.iter().filter(|(id, open)| open.sequence <= up_to && !told.contains(id));
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove(id);
        }
        self.ended.retain(|_, sequence| *sequence > up_to);
    }

    /// Takes which gateways there are; whether that changed anything.
    pub(super) fn meet(&mut self, gateways: &GatewayTable) -> bool {
        let changed = self.members.meet(gateways);
        if changed {
            for id in self.jobs.keys().copied().collect::<Vec<_>>() {
                self.place_anew(id);
            }
        }
        changed
    }

    /// Whether the gateway that runs a job does not any more.
    pub(super) fn is_lost(&self, owner: &GatewayId) -> bool {
        self.members.owner(owner) == Owner::Gone
    }

    /// Whether a job is run, which this gateway holds.
    pub(super) fn is_running(&self, id: JobId, owner: &GatewayId) -> bool {
        self.in_hand.contains(&id) || !self.is_lost(owner)
    }

    /// The job that is to be taken next, of a function that is not full; it is in hand from then on.
    pub(super) fn next(&mut self, now: Timestamp, full: &BTreeSet<FunctionName>) -> Next {
        if !self.members.is_joined() {
            return Next::Nothing;
        }
        let free = self.due.iter().filter(|(function, _)| !full.contains(*function));
        let firsts = free.filter_map(|(function, jobs)| Some((*jobs.first()?, function)));
        let Some(((at, id), function)) = firsts.min() else { return Next::Nothing };
        if at > now {
            return Next::At(at);
        }
        let function = function.clone();
        self.in_hand.insert(id);
        self.place_anew(id);
        Next::Try(id, function)
    }

    /// A job is not in hand any more; it is left alone until then, unless it changes.
    pub(super) fn put_down(&mut self, id: JobId, not_before: Option<Timestamp>) {
        self.in_hand.remove(&id);
        if let Some(open) = self.jobs.get_mut(&id) {
            open.not_before = not_before;
            self.place_anew(id);
        }
    }

    /// How many open jobs there are in each state, and when the one was due that waits for the longest time.
    pub(super) fn counts(&self) -> (BTreeMap<JobState, u64>, Option<Timestamp>) {
        let mut states = self.states.clone();
        for (state, running) in &self.running {
            if let Some(count) = states.get_mut(state) {
                *count = count.saturating_sub(*running);
            }
        }
        states.insert(JobState::Running, self.running.values().sum());
        let firsts = self.due.values().filter_map(|jobs| self.jobs.get(&jobs.first()?.1));
        (states, firsts.map(|open| open.due()).min())
    }

    pub(super) fn is_open(&self, id: JobId) -> bool {
        self.jobs.contains_key(&id)
    }

    fn insert(&mut self, id: JobId, open: Open) {
        *self.states.entry(open.standing.state).or_default() += 1;
        *self.running.entry(open.standing.state).or_default() += 1;
        self.jobs.insert(id, open);
        self.place_anew(id);
    }

    fn remove(&mut self, id: JobId) {
        self.take_out(id);
        if let Some(open) = self.jobs.remove(&id) {
            for counts in [&mut self.states, &mut self.running] {
                if let Some(count) = counts.get_mut(&open.standing.state) {
                    *count = count.saturating_sub(1);
                }
            }
        }
    }

    /// Makes a job one that is held.
    fn take_out(&mut self, id: JobId) {
        let Some(open) = self.jobs.get_mut(&id) else { return };
        let Placed::Due(at) = std::mem::replace(&mut open.placed, Placed::Held) else { return };
        *self.running.entry(open.standing.state).or_default() += 1;
        if let Some(jobs) = self.due.get_mut(&open.standing.function) {
            jobs.remove(&(at, id));
            if jobs.is_empty() {
                self.due.remove(&open.standing.function);
            }
        }
    }

    /// Decides whether a job is due, and when this gateway takes it.
    fn place_anew(&mut self, id: JobId) {
        self.take_out(id);
        let Some(open) = self.jobs.get_mut(&id) else { return };
        if self.in_hand.contains(&id) {
            return;
        }
        let due = match open.standing.held.as_ref().map(|held| self.members.owner(&held.owner)) {
            None | Some(Owner::Gone) => open.due(),
            Some(Owner::Alive) => return,
            Some(Owner::Unknown(patience)) => open.due().max(later(open.heard, patience)),
        };
        let at = later(due, self.members.holds_back(id)).max(open.not_before.unwrap_or(Timestamp::MIN));
        open.placed = Placed::Due(at);
        if let Some(running) = self.running.get_mut(&open.standing.state) {
            *running = running.saturating_sub(1);
        }
        self.due.entry(open.standing.function.clone()).or_default().insert((at, id));
    }
}

impl Open {
    /// When it is due. A new job is at once, whatever the clock says of who stored it.
    fn due(&self) -> Timestamp {
        match self.standing.state {
            JobState::Queued => self.standing.at.min(self.heard),
            _ => self.standing.at,
        }
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
