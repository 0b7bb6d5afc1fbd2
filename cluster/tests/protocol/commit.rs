//! Commits: `src/nats/commit.rs`, deciding by `src/rules.rs` on the table of `src/nats/table.rs`, and storing what
//! `src/nats/entry.rs` describes.
//!
//! | step here | code |
//! | --- | --- |
//! | asks how far the stream is | `catch_up`: `get_stream`, `last_sequence` |
//! | hears a message | `Watcher`, `Table::advance` |
//! | decides | `Table::view`, `Change::decide`, `rules::deploy` and `rules::rollback` |
//! | is answered, hears of a conflict, ... | `publish`: one turn of the loop around `send` |
//! | looks up what was stored | `settle` |
//! | writes a fence | `settled` |
//! | gives up | the deadline in `catch_up`, `publish` and `settle` |
//!
//! A copy of a message can be stored while its answer is lost, and can stay on its way: then it is stored or refused at any
//! later time, also after its process has crashed. The server may refuse a copy for reasons of its own, and may take it for a
//! conflict while there is none (see `is_conflict`). How often such things happen is limited, and so is how often a process
//! crashes; when they happen is not. Of each function only the last two messages can be looked up, of 16 in reality.

mod rules;

use super::explore::{Next, Protocol};

/// What a process is asked for. Of two functions, `a` and `b`, contents marked as shared have the same route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Deploy(char, u8),
    DeployShared(char, u8),
    Rollback(char),
    Delete(char),
    Fence,
}
use Change::{Deploy, DeployShared, Fence};

/// Which way the code is changed for the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// As it is.
    No,
    /// Messages are stored whatever is in the stream.
    NoCondition,
    /// The condition is on the function's own last message instead of the stream's.
    ConditionOnTheKey,
    /// A conflict counts as another's commit, even when a copy was sent before whose answer was lost.
    NoLookup,
    /// A refused copy counts as a failure, even when a copy was sent before whose answer was lost.
    RefusedMeansFailed,
    /// A delete takes the last number along.
    NumbersForgotten,
}

/// Processes and what each is asked for, one after the other.
pub(crate) struct Commits {
    pub(crate) scripts: Vec<Vec<Change>>,
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) broken: Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Revision {
    number: u8,
    content: u8,
    shared: bool,
}

/// What a function is after a message; without revisions after a delete.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Entry {
    last: u8,
    current: u8,
    revisions: Vec<Revision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    operation: (u8, u8),
    key: char,
    entry: Entry,
    /// The length of the stream that it was decided on.
    before: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum At {
    Begin,
    /// Knows how long the stream was.
    Behind(u8),
    /// Sends copies; whether one was sent whose answer was lost.
    Publishing(Message, bool),
    Settling(Message),
}

/// What the caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Nothing,
    /// It is this message of the stream.
    Done(u8),
    /// Nothing was changed.
    Refused,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    /// How much of the stream it has heard.
    table: u8,
    at: At,
    told: Vec<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    stream: Vec<Message>,
    processes: Vec<Process>,
    /// Copies that are still on their way, in order, so that equal sets are equal.
    late: Vec<Message>,
    faults: u8,
    crashes: u8,
}

const NAMES: [&str; 3] = ["one", "two", "three"];

impl State {
    /// The newest entry of a function in the first messages.
    fn entry(&self, key: char, length: u8) -> Option<&Entry> {
        self.stream[..length.into()].iter().rev().find(|message| message.key == key).map(|message| &message.entry)
    }

    /// Whether the function's answering revision has the shared route.
    fn has_route(&self, key: char, length: u8) -> bool {
        let entry = self.entry(key, length);
        entry.is_some_and(|entry| entry.revisions.iter().any(|r| r.number == entry.current && r.shared))
    }

    fn length(&self) -> u8 {
        self.stream.len() as u8
    }

    /// The server takes a copy; false on a conflict.
    fn store(&mut self, message: &Message, broken: Broken) -> bool {
        let holds = match broken {
            Broken::NoCondition => true,
            Broken::ConditionOnTheKey => {
                let after = &self.stream[message.before.into()..];
                after.iter().all(|other| other.key != message.key)
            }
            _ => self.length() == message.before,
        };
        if holds {
            self.stream.push(message.clone());
        }
        holds
    }

    /// The server can still look a message up.
    fn kept(&self, index: u8) -> Option<&Message> {
        let message = &self.stream[usize::from(index)];
        let later = self.stream[usize::from(index) + 1..].iter().filter(|other| other.key == message.key).count();
        (later < 2).then_some(message)
    }

    /// The process goes on to the next thing it is asked for.
    fn tell(&mut self, process: usize, told: Told) {
        self.processes[process].told.push(told);
        self.processes[process].at = At::Begin;
    }

    fn stored(&mut self, process: usize, version: u8) {
        self.tell(process, Told::Done(version));
        // `Table::committed`: taken if it is the next one.
        if self.processes[process].table + 1 == version {
            self.processes[process].table = version;
        }
    }
}

impl Commits {
    fn publishing(&self, state: &State, p: usize, message: &Message, open: bool, next: &mut Next<State>) {
        let (who, broken) = (NAMES[p], self.broken);
        let sent_again = |state: &mut State| state.processes[p].at = At::Publishing(message.clone(), true);
        let stored = state.clone().store(message, broken);
        if stored {
            next.can(who, "is answered", state, |state| {
                state.store(message, broken);
                state.stored(p, state.length());
            });
        } else if open && broken != Broken::NoLookup {
            next.can(who, "hears of a conflict after a lost answer", state, |state| {
                state.processes[p].at = At::Settling(message.clone());
            });
        } else {
            next.can(who, "is overtaken", state, |state| state.processes[p].at = At::Begin);
        }
        if open {
            next.can(who, "gives up without an answer", state, |state| state.tell(p, Told::Unknown));
        }
        if state.faults == 0 {
            return;
        }
        let fault = |state: &mut State| state.faults -= 1;
        next.can(who, "loses an answer", state, |state| {
            fault(state);
            state.store(message, broken);
            sent_again(state);
        });
        next.can(who, "sends a copy that stays on its way", state, |state| {
            fault(state);
            state.late.push(message.clone());
            state.late.sort();
            sent_again(state);
        });
        next.can(who, "is refused", state, |state| {
            fault(state);
            if !open || broken == Broken::RefusedMeansFailed {
                state.tell(p, Told::Refused);
            }
        });
        next.can(who, "hears of a conflict that is none", state, |state| {
            fault(state);
            if !open {
                state.processes[p].at = At::Begin;
            }
        });
    }

    fn process(&self, state: &State, p: usize, next: &mut Next<State>) {
        let (who, process) = (NAMES[p], &state.processes[p]);
        let Some(&change) = self.scripts[p].get(process.told.len()) else { return };
        match &process.at {
            At::Begin if change == Fence => next.can(who, "writes a fence", state, |state| {
                let operation = (p as u8, state.processes[p].told.len() as u8);
                let message = Message { operation, key: '_', entry: Entry::default(), before: state.length() };
                state.stream.push(message);
                state.stored(p, state.length());
            }),
            At::Begin => {
                next.can(who, "asks how far the stream is", state, |state| {
                    state.processes[p].at = At::Behind(state.length());
                });
                next.can(who, "gives up before sending", state, |state| state.tell(p, Told::Refused));
            }
            At::Behind(last) => {
                if process.table < state.length() {
                    next.can(who, "hears a message", state, |state| state.processes[p].table += 1);
                }
                if process.table < *last {
                    return;
                }
                let (table, operation) = (process.table, (p as u8, process.told.len() as u8));
                match self.decide(state, change, table) {
                    Err(()) => {
                        next.can(who, "has nothing to do, or may not", state, |state| state.tell(p, Told::Refused))
                    }
                    Ok((key, entry)) => next.can(who, "decides", state, |state| {
                        let message = Message { operation, key, entry, before: table };
                        state.processes[p].at = At::Publishing(message, false);
                    }),
                }
            }
            At::Publishing(message, open) => self.publishing(state, p, message, *open, next),
            At::Settling(message) => {
                next.can(who, "gives up looking", state, |state| state.tell(p, Told::Unknown));
                match state.kept(message.before) {
                    Some(found) if found.operation == message.operation => {
                        next.can(who, "finds its own message", state, |state| state.stored(p, message.before + 1));
                    }
                    Some(_) => next.can(who, "finds another's message", state, |state| {
                        state.processes[p].at = At::Begin;
                    }),
                    None => {}
                }
            }
        }
        if state.crashes > 0 && process.at != At::Begin {
            next.can(who, "crashes", state, |state| {
                state.crashes -= 1;
                state.tell(p, Told::Nothing);
                state.processes[p].table = 0;
            });
        }
    }
}

impl Protocol for Commits {
    type State = State;

    fn start(&self) -> State {
        let process = Process { table: 0, at: At::Begin, told: vec![] };
        let processes = vec![process; self.scripts.len()];
        State { stream: vec![], processes, late: vec![], faults: self.faults, crashes: self.crashes }
    }

    fn steps(&self, state: &State, next: &mut Next<State>) {
        for p in 0..state.processes.len() {
            self.process(state, p, next);
        }
        for index in 0..state.late.len() {
            let what =
                if state.length() == state.late[index].before { "stores a late copy" } else { "gets a late copy" };
            next.can("the server", what, state, |state| {
                let message = state.late.remove(index);
                state.store(&message, self.broken);
            });
        }
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        let end = state.length();
        if state.has_route('a', end) && state.has_route('b', end) {
            return Some("two functions answer on one route");
        }
        for (index, message) in state.stream.iter().enumerate() {
            let earlier = || state.stream[..index].iter().filter(|other| other.key == message.key);
            if state.stream[..index].iter().any(|other| other.operation == message.operation) {
                return Some("a commit is stored twice");
            }
            let (p, nth) = message.operation;
            let deploys = matches!(self.scripts[usize::from(p)][usize::from(nth)], Deploy(..) | DeployShared(..));
            let number = message.entry.current;
            if deploys && earlier().any(|other| other.entry.revisions.iter().any(|revision| revision.number == number))
            {
                return Some("a revision number is used twice");
            }
        }
        for (p, process) in state.processes.iter().enumerate() {
            for (nth, told) in process.told.iter().enumerate() {
                let operation = (p as u8, nth as u8);
                match *told {
                    Told::Done(version) => {
                        let Some(found) = state.stream.get(usize::from(version) - 1) else {
                            return Some("a commit is lost");
                        };
                        if found.operation != operation {
                            return Some("a commit is lost");
                        }
                        if overwritten(state, version) {
                            return Some("a commit is overwritten by one that did not know of it");
                        }
                    }
                    Told::Refused if state.stream.iter().any(|message| message.operation == operation) => {
                        return Some("a commit that was refused is stored");
                    }
                    _ => {}
                }
            }
        }
        None
    }
}

/// Whether a later message of the function lacks revisions of an acknowledged one, though it was not deleted in between.
fn overwritten(state: &State, version: u8) -> bool {
    let done = &state.stream[usize::from(version) - 1];
    let mut expected = Some(&done.entry.revisions);
    for later in state.stream[version.into()..].iter().filter(|later| later.key == done.key) {
        if later.entry.revisions.is_empty() {
            expected = None;
        }
        let there = |revision: &Revision| later.entry.revisions.contains(revision);
        if expected.is_some_and(|expected| !expected.iter().all(there)) {
            return true;
        }
    }
    false
}
