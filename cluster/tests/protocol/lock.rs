//! The lock of `src/nats/lock.rs`: a key that exists while somebody holds it, and expires by itself.
//!
//! | step here | code |
//! | --- | --- |
//! | asks for the lock | `Lock::take`: `put` with sequence 0 |
//! | asks for a renewal | `renew`: `put` with the last sequence |
//! | gives up | `renew`: two thirds of the expiry after the last renewal was asked for |
//! | gives the lock back | `Lock::release` |
//! | time passes, the key expires | a fifth of the expiry and more; the bucket's `max_age` |
//!
//! Time passes in thirds of the expiry, for everybody alike. Requests can take any time to arrive, and so can answers. A
//! holder believes in its lock for two thirds, whenever its timers run: `Lock::is_held` looks at the clock.

use super::explore::{Next, Protocol};

/// Which way the code is changed for the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// As it is.
    No,
    /// The lock is taken whether or not somebody has it.
    NoCondition,
    /// A holder believes in the lock until it hears of another.
    BelievesForEver,
    /// A belief counts from the answer, not from the question.
    CountsFromTheAnswer,
    /// Giving back removes the key whoever wrote it last.
    RemovesAny,
}

/// How often processes ask.
pub(crate) struct Locks {
    pub(crate) requests: u8,
    pub(crate) broken: Broken,
}

const EXPIRY: u8 = 3;
const BELIEVED: u8 = 2;
const NAMES: [&str; 3] = ["one", "two", "three"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    /// Writes the key, if its last sequence is this one.
    Put {
        from: u8,
        last: u8,
    },
    Remove {
        up_to: u8,
    },
}

/// A process: the sequence of its last write and how long ago that was asked for, while it believes; and how long ago it asked
/// for what is not answered, and the answer that is on its way, if it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    held: Option<(u8, u8)>,
    asked: Option<u8>,
    answer: Option<Option<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The key's sequence and age.
    key: Option<(u8, u8)>,
    last: u8,
    processes: Vec<Process>,
    network: Vec<Request>,
    requests: u8,
}

impl Locks {
    fn process(&self, state: &State, p: usize, next: &mut Next<State>) {
        let who = NAMES[p];
        let process = &state.processes[p];
        let ask = |last: u8| {
            move |state: &mut State| {
                state.requests -= 1;
                state.network.push(Request::Put { from: p as u8, last });
                state.network.sort();
                state.processes[p].asked = Some(0);
            }
        };
        match (process.held, process.asked) {
            (None, None) if state.requests > 0 => next.can(who, "asks for the lock", state, ask(0)),
            (Some((last, _)), None) if state.requests > 0 => next.can(who, "asks for a renewal", state, ask(last)),
            _ => {}
        }
        if let Some((last, since)) = process.held {
            if since >= BELIEVED && self.broken != Broken::BelievesForEver {
                next.can(who, "gives up", state, |state| {
                    state.processes[p] = Process { held: None, asked: None, answer: None };
                });
            }
            next.can(who, "gives the lock back", state, |state| {
                state.processes[p] = Process { held: None, asked: None, answer: None };
                state.network.push(Request::Remove { up_to: last });
                state.network.sort();
            });
        }
        if let (Some(asked), Some(answer)) = (process.asked, process.answer) {
            next.can(who, "is answered", state, |state| {
                let since = if self.broken == Broken::CountsFromTheAnswer { 0 } else { asked };
                state.processes[p] =
                    Process { held: answer.map(|sequence| (sequence, since)), asked: None, answer: None };
            });
        }
        if process.asked.is_some() && process.held.is_none() {
            next.can(who, "gives the question up", state, |state| {
                state.processes[p] = Process { held: None, asked: None, answer: None };
            });
        }
    }

    fn arrive(&self, state: &mut State, request: Request) {
        match request {
            Request::Put { from, last } => {
                let holds = state.key.map_or(0, |(sequence, _)| sequence) == last || self.broken == Broken::NoCondition;
                if holds {
                    state.last += 1;
                    state.key = Some((state.last, 0));
                }
                // Whoever has given the question up does not hear of it.
                let process = &mut state.processes[usize::from(from)];
                if process.asked.is_some() && process.answer.is_none() {
                    process.answer = Some(holds.then_some(state.last));
                }
            }
            Request::Remove { up_to } => {
                let goes = |(sequence, _): (u8, u8)| sequence <= up_to || self.broken == Broken::RemovesAny;
                state.key = state.key.filter(|key| !goes(*key));
            }
        }
    }
}

impl Protocol for Locks {
    type State = State;

    fn start(&self) -> State {
        let process = Process { held: None, asked: None, answer: None };
        State { key: None, last: 0, processes: vec![process; 2], network: vec![], requests: self.requests }
    }

    fn steps(&self, state: &State, next: &mut Next<State>) {
        for p in 0..state.processes.len() {
            self.process(state, p, next);
        }
        for index in 0..state.network.len() {
            next.can("the server", "gets a request", state, |state| {
                let request = state.network.remove(index);
                self.arrive(state, request);
            });
            next.can("the network", "loses a request", state, |state| {
                state.network.remove(index);
            });
        }
        if state.key.is_some_and(|(_, age)| age >= EXPIRY) {
            next.can("the server", "lets the key expire", state, |state| state.key = None);
        }
        next.can("time", "passes", state, |state| {
            let pass = |time: &mut u8| *time = (*time + 1).min(EXPIRY);
            state.key.iter_mut().for_each(|(_, age)| pass(age));
            for process in &mut state.processes {
                process.held.iter_mut().for_each(|(_, since)| pass(since));
                process.asked.iter_mut().for_each(pass);
            }
        });
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        let for_ever = self.broken == Broken::BelievesForEver;
        let believes = |process: &&Process| process.held.is_some_and(|(_, since)| since < BELIEVED || for_ever);
        (state.processes.iter().filter(believes).count() > 1).then_some("two processes believe that they have the lock")
    }
}
