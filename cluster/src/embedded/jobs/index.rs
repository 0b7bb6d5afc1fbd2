//! What is known of jobs in memory: which are due when, which are running since when, and how many there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use samovar_model::{FunctionName, JobId, JobState};

use crate::jobs::JobCounts;
use crate::jobs::rules::Record;

/// The jobs that have an attempt before them, and counts of all.
#[derive(Default)]
pub(super) struct Index {
    /// By function, so that one whose jobs are not to be taken now costs nothing; there is no empty set.
    due: BTreeMap<FunctionName, BTreeSet<Due>>,
    running: HashMap<JobId, Running>,
    /// How many there are that are not running.
    states: BTreeMap<JobState, u64>,
    bytes: u64,
}

/// A job that is to be tried at some time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    id: JobId,
    state: JobState,
}

/// A job that is being tried.
struct Running {
    since: Timestamp,
    /// What it was before, and is again if the attempt is broken off.
    state: JobState,
}

/// What there is to take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This job is running now.
    Leased(FunctionName, JobId),
    /// Nothing yet; at this time there will be.
    At(Timestamp),
    /// Nothing.
    Nothing,
}

impl Index {
    /// Takes up a job that is not running, as it is stored.
    pub(super) fn add(&mut self, record: &Record) {
        let job = &record.job;
        self.bytes += record.request_bytes + record.answer_bytes;
        if job.state.is_final() {
            *self.states.entry(job.state).or_default() += 1;
        } else {
            self.make_due(&job.function, job.id, job.state, job.next_attempt.unwrap_or(job.created));
        }
    }

    /// Forgets a job as it was stored; false if it is running, and stays.
    pub(super) fn remove(&mut self, record: &Record) -> bool {
        let job = &record.job;
        if self.running.contains_key(&job.id) {
            return false;
        }
        self.free(record.request_bytes + record.answer_bytes);
        // One that has ended is not due, and there may be many that are.
        if !job.state.is_final()
            && let Some(waiting) = self.due.get_mut(&job.function)
        {
            // When it is due is known best here: it may have been given back.
            waiting.retain(|due| due.id != job.id);
            if waiting.is_empty() {
                self.due.remove(&job.function);
            }
        }
        self.uncount(job.state);
        true
    }

    fn make_due(&mut self, function: &FunctionName, id: JobId, state: JobState, at: Timestamp) {
        *self.states.entry(state).or_default() += 1;
        self.due.entry(function.clone()).or_default().insert(Due { at, id, state });
    }

    fn uncount(&mut self, state: JobState) {
        if let Some(count) = self.states.get_mut(&state) {
            *count = count.saturating_sub(1);
        }
    }

    /// Takes the job that is due for the longest time, of a function that is not full.
    pub(super) fn lease(&mut self, now: Timestamp, full: &BTreeSet<FunctionName>) -> Next {
        let free = self.due.iter().filter(|(function, _)| !full.contains(*function));
        let firsts = free.filter_map(|(function, waiting)| Some((waiting.first()?, function)));
        let Some((first, function)) = firsts.min() else { return Next::Nothing };
        if first.at > now {
            return Next::At(first.at);
        }
        let function = function.clone();
        let Some(waiting) = self.due.get_mut(&function) else { return Next::Nothing };
        let Some(due) = waiting.pop_first() else { return Next::Nothing };
        if waiting.is_empty() {
            self.due.remove(&function);
        }
        self.uncount(due.state);
        self.running.insert(due.id, Running { since: now, state: due.state });
        Next::Leased(function, due.id)
    }

    /// Makes a job due that was running, and came to nothing.
    pub(super) fn give_back(&mut self, function: &FunctionName, id: JobId, at: Timestamp) {
        if let Some(running) = self.running.remove(&id) {
            self.make_due(function, id, running.state, at);
        }
    }

    /// Forgets a job that was running.
    pub(super) fn forget_running(&mut self, id: JobId) {
        self.running.remove(&id);
    }

    /// Since when a job is running.
    pub(super) fn running(&self, id: JobId) -> Option<Timestamp> {
        self.running.get(&id).map(|running| running.since)
    }

    /// Sets bytes aside; how many are in use if there are not so many.
    pub(super) fn reserve(&mut self, bytes: u64, limit: u64) -> Result<(), u64> {
        if self.bytes.saturating_add(bytes) > limit {
            return Err(self.bytes);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives bytes back.
    pub(super) fn free(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn counts(&self) -> JobCounts {
        let mut states = self.states.clone();
        states.insert(JobState::Running, self.running.len() as u64);
        for state in JobState::ALL {
            states.entry(state).or_default();
        }
        let oldest_due = self.due.values().filter_map(|waiting| waiting.first()).map(|due| due.at).min();
        JobCounts { states, oldest_due, bytes: self.bytes }
    }
}
