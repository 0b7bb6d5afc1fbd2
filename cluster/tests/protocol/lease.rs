//! The leases of `src/nats/lease.rs`: a key that one run of a host renews, and a later run takes over.
//!
//! | step here | code |
//! | --- | --- |
//! | looks | `Renewal::look`, where the sequence is not known; the first look decides the run's number |
//! | renews | `Renewal::renew`: `Key::write` on the sequence that it knows |
//! | leaves | `KeptLease::remove`: reads, and writes that it left on the sequence that it read |
//! | the key is forgotten | the bucket's `max_age` of a week, when nobody wrote for so long |
//!
//! Runs begin at any time, also while an earlier one goes on, and their clocks tell them anything. A renewal's answer can be
//! lost, or the renewal stay on its way and be applied at any later time; how many do is limited. Expiry changes nothing in
//! the key: members judge it by themselves.

use super::explore::{Next, Protocol};

/// Which way the code is changed for the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// As it is.
    No,
    /// Renewals are stored whatever the key holds.
    NoCondition,
    /// Runs go by their clocks, whatever they find.
    NumberFromTheClock,
    /// A run that leaves leaves no trace of its number.
    LeavesNothing,
    /// A run goes on when it finds a later one.
    NeverStops,
}

/// Runs of one host, and what happens to them.
pub(crate) struct Leases {
    /// What each run's clock says when it begins.
    pub(crate) clocks: Vec<u8>,
    pub(crate) faults: u8,
    /// How often the key is forgotten.
    pub(crate) forgotten: u8,
    /// How often the key is written: renewals go on for ever, but need not, for everything else to happen in between.
    pub(crate) writes: u8,
    pub(crate) broken: Broken,
}

/// A run as others see it: a later one is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Run {
    epoch: u8,
    /// What breaks the tie of runs that began at once: when they started, by their clocks; here they have names.
    name: u8,
}

/// What the key's last message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Value {
    run: Run,
    left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// Has not looked yet.
    New,
    /// Has its number; and the sequence to be replaced, where it is known.
    Decided(Run, Option<u8>),
    Lost,
    Left,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The key's sequence and value.
    key: Option<(u8, Value)>,
    last: u8,
    runs: Vec<At>,
    late: Vec<(u8, Value)>,
    /// The largest run that the key ever held, since it was last forgotten.
    largest: Option<Run>,
    faults: u8,
    forgotten: u8,
    wrong: Option<&'static str>,
}

const NAMES: [&str; 3] = ["run one", "run two", "run three"];

impl Leases {
    fn write(&self, state: &mut State, expected: u8, value: Value) -> bool {
        let found = state.key.map_or(0, |(sequence, _)| sequence);
        if found != expected && self.broken != Broken::NoCondition {
            return false;
        }
        if state.key.is_some_and(|(_, before)| before.run > value.run) {
            state.wrong = Some("an earlier run replaces a later one");
        }
        state.last += 1;
        state.key = Some((state.last, value));
        state.largest = state.largest.max(Some(value.run));
        true
    }

    /// What a run does when it looks.
    fn look(&self, state: &mut State, r: usize) {
        let (sequence, value) = state.key.map_or((0, None), |(sequence, value)| (sequence, Some(value)));
        let found = value.filter(|value| !value.left || self.broken != Broken::LeavesNothing).map(|value| value.run);
        state.runs[r] = match (state.runs[r], found) {
            (At::New, found) => {
                let clock = self.clocks[r];
                let above = found.map_or(0, |found| found.epoch + 1);
                let epoch = if self.broken == Broken::NumberFromTheClock { clock } else { clock.max(above) };
                let run = Run { epoch, name: r as u8 };
                if state.largest.is_some_and(|largest| largest >= run) {
                    state.wrong = Some("a run is not later than one that had the lease before it began");
                }
                At::Decided(run, Some(sequence))
            }
            (At::Decided(own, _), Some(found)) if found > own && self.broken != Broken::NeverStops => At::Lost,
            (At::Decided(own, _), _) => At::Decided(own, Some(sequence)),
            (ended, _) => ended,
        };
    }

    fn run(&self, state: &State, r: usize, next: &mut Next<State>) {
        let who = NAMES[r];
        match state.runs[r] {
            At::New | At::Decided(_, None) => next.can(who, "looks", state, |state| self.look(state, r)),
            At::Decided(own, Some(expected)) => {
                let value = Value { run: own, left: false };
                next.can(who, "renews", state, |state| {
                    let renewed = self.write(state, expected, value);
                    state.runs[r] = At::Decided(own, renewed.then_some(state.last));
                });
                if state.faults > 0 {
                    next.can(who, "loses an answer", state, |state| {
                        state.faults -= 1;
                        self.write(state, expected, value);
                        state.runs[r] = At::Decided(own, None);
                    });
                    next.can(who, "gives up a renewal that stays on its way", state, |state| {
                        state.faults -= 1;
                        state.late.push((expected, value));
                        state.late.sort();
                        state.runs[r] = At::Decided(own, None);
                    });
                }
            }
            At::Lost | At::Left => {}
        }
        let At::Decided(own, _) = state.runs[r] else { return };
        if let Some((sequence, Value { run, left: false })) = state.key {
            // Its own reading and writing is one step: a write in between makes it read again.
            if run == own {
                next.can(who, "leaves", state, |state| {
                    self.write(state, sequence, Value { run, left: true });
                    state.runs[r] = At::Left;
                });
            }
        }
    }

    /// Where everybody ends when nothing more goes wrong, and no run begins: all look and renew, a few times.
    fn settle(&self, state: &State) -> State {
        let mut state = state.clone();
        state.late.clear();
        for _ in 0..6 {
            for r in 0..state.runs.len() {
                if matches!(state.runs[r], At::Decided(_, None)) {
                    self.look(&mut state, r);
                }
                if let At::Decided(own, Some(expected)) = state.runs[r] {
                    let renewed = self.write(&mut state, expected, Value { run: own, left: false });
                    state.runs[r] = At::Decided(own, renewed.then_some(state.last));
                }
            }
        }
        state
    }
}

impl Protocol for Leases {
    type State = State;

    fn start(&self) -> State {
        State {
            key: None,
            last: 0,
            runs: vec![At::New; self.clocks.len()],
            late: vec![],
            largest: None,
            faults: self.faults,
            forgotten: self.forgotten,
            wrong: None,
        }
    }

    fn steps(&self, state: &State, next: &mut Next<State>) {
        if state.last >= self.writes {
            return;
        }
        for r in 0..state.runs.len() {
            self.run(state, r, next);
        }
        for index in 0..state.late.len() {
            next.can("the server", "gets a late renewal", state, |state| {
                let (expected, value) = state.late.remove(index);
                self.write(state, expected, value);
            });
        }
        if state.forgotten > 0 && state.key.is_some() {
            next.can("the server", "forgets the key", state, |state| {
                state.forgotten -= 1;
                state.key = None;
                state.largest = None;
            });
        }
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        if state.wrong.is_some() {
            return state.wrong;
        }
        let holds = |at: &&At| {
            matches!(at, At::Decided(own, Some(known))
            if state.key.is_some_and(|(sequence, value)| sequence == *known && value.run == *own))
        };
        if state.runs.iter().filter(holds).count() > 1 {
            return Some("two runs hold the lease");
        }
        let settled = self.settle(state);
        let latest =
            state.runs.iter().filter_map(|at| if let At::Decided(own, _) = at { Some(*own) } else { None }).max();
        let going = |at: &&At| matches!(at, At::Decided(..));
        let count = settled.runs.iter().filter(going).count();
        match (latest, settled.key) {
            (Some(latest), Some((_, value))) if value.run == latest && count == 1 => None,
            // A run that is gone was later still: nobody goes on.
            (Some(latest), Some((_, value))) if value.run > latest && count == 0 => None,
            (None, _) if count == 0 => None,
            _ => Some("it does not end with the latest run alone"),
        }
    }
}
