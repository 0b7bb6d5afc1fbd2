//! Artifacts: what uploads and deploys do in `src/nats/artifacts.rs`, `src/nats/record.rs` and `src/nats/commit.rs`, what
//! collections do in `src/garbage.rs` and `src/nats/garbage.rs`, and how they get in each other's way.
//!
//! One artifact, one function. Each deployer uploads the artifact and deploys it; somebody deletes the function now and then;
//! collectors collect.
//!
//! | step here | code |
//! | --- | --- |
//! | reads the record, counts chunks, renews | `record::claim`, for an upload and for a deploy |
//! | stores chunks, writes the record, removes old chunks | `ObjectStore::put`, called by `publish` |
//! | decides, commits | `Shared::commit`; that its outcome is known or unknown is shown in `commit.rs` |
//! | takes the lock, is unsure of it | `Lock::take`, `Lock::is_held`; when that is true is shown in `lock.rs` |
//! | writes a fence, hears what is referred to | `settled`, `garbage::collect` |
//! | lists chunks, looks at the record, removes | `Collection::run` |
//!
//! Ages are as bad as they can be: what was stored before the fence is old, what was stored after it is not. With one
//! exception, on which the code relies: an upload's record is written before its chunks are old. Every write can be applied while its
//! answer is lost, or stay on its way and be applied at any later time; how many do is limited.

mod collector;
mod deployer;

use super::explore::{Next, Protocol};

/// Which way the code is changed for the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// As it is.
    No,
    /// Whatever is in the store counts as old.
    NoAge,
    /// A record is removed though it is not the one that was looked at.
    NoSequence,
    /// Whoever collects goes by what it heard before, at any time.
    OldTable,
    /// Commits that were decided before the collection can be stored after it.
    NoFence,
    /// Nobody claims an artifact after its upload.
    NoClaim,
    /// A commit is stored whatever happened since it was decided.
    NoCondition,
    /// The lock is taken, and nobody looks whether it is still held.
    LockNotChecked,
    /// Nobody takes the lock.
    NoLock,
}

/// What there is to do.
pub(crate) struct Garbage {
    pub(crate) deployers: usize,
    pub(crate) collectors: usize,
    /// How often something is collected, and how often the function is deleted.
    pub(crate) collections: u8,
    pub(crate) deletes: u8,
    /// How many answers are lost or writes late.
    pub(crate) faults: u8,
    pub(crate) broken: Broken,
}

/// The record: its sequence, and the upload whose chunks it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Record {
    sequence: u8,
    upload: u8,
}

/// A write, which may be on its way for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Write {
    Renewal(Record),
    Record { upload: u8 },
    Commit { before: u8 },
    RecordRemoval { up_to: u8 },
    ChunkRemoval { upload: u8 },
}

/// Where a deployer is. The upload's claim and the deploy's are the same steps; the deploy's knows what it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deployer {
    Claims(Option<u8>),
    Counts(Option<u8>, Record),
    Renews(Option<u8>, Record),
    /// The object is not there, or not whole.
    Puts,
    /// Its own chunks are there; and it knows whose chunks the record named before.
    Records(Option<u8>),
    /// Its record is there; the chunks of the one before go.
    Tidies(u8),
    Uploaded,
    Commits(u8),
    /// It was told the outcome, or got no answer.
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Collector {
    Idle,
    Locked,
    /// The last sequence of objects when it wrote the fence, and the uploads whose chunks are old by then.
    Fenced {
        old: Vec<u8>,
        at: u8,
    },
    Knows {
        old: Vec<u8>,
        at: u8,
        referred: bool,
    },
    /// The chunks it has seen.
    Listed {
        old: Vec<u8>,
        at: u8,
        referred: bool,
        chunks: Vec<u8>,
    },
    Removes {
        old: Vec<u8>,
        at: u8,
        record: Record,
        chunks: Vec<u8>,
    },
    /// Chunks that no record names.
    Tidies(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The last sequence of the stream of functions, and whether the function refers to the artifact.
    functions: u8,
    referred: bool,
    /// The last sequence of the stream of objects, the record, and the uploads whose chunks are there, with their sequences.
    objects: u8,
    record: Option<Record>,
    chunks: Vec<(u8, u8)>,
    uploads: u8,
    deployers: Vec<Deployer>,
    collectors: Vec<Collector>,
    /// Who has the lock, and whether each collector believes that it has.
    lock: Option<usize>,
    believes: Vec<bool>,
    late: Vec<Write>,
    collections: u8,
    deletes: u8,
    faults: u8,
    /// Whether somebody removed something under another's lock.
    trespassed: bool,
}

const DEPLOYERS: [&str; 3] = ["deployer one", "deployer two", "deployer three"];
const COLLECTORS: [&str; 2] = ["collector one", "collector two"];

impl State {
    /// The server applies a write, if its condition holds.
    fn apply(&mut self, write: Write, broken: Broken) -> bool {
        match write {
            Write::Renewal(read) => {
                let holds = self.record == Some(read);
                if holds {
                    self.objects += 1;
                    self.record = Some(Record { sequence: self.objects, ..read });
                }
                holds
            }
            Write::Record { upload } => {
                self.objects += 1;
                self.record = Some(Record { sequence: self.objects, upload });
                true
            }
            Write::Commit { before } => {
                let holds = self.functions == before || broken == Broken::NoCondition;
                if holds {
                    self.functions += 1;
                    self.referred = true;
                }
                holds
            }
            Write::RecordRemoval { up_to } => {
                let goes = self.record.is_some_and(|record| record.sequence <= up_to || broken == Broken::NoSequence);
                if goes {
                    self.record = None;
                }
                goes
            }
            Write::ChunkRemoval { upload } => {
                self.chunks.retain(|(there, _)| *there != upload);
                true
            }
        }
    }

    fn has_chunks(&self, upload: u8) -> bool {
        self.chunks.iter().any(|(there, _)| *there == upload)
    }

    /// Uploads whose record is still to come. A deployer's own is known by its number.
    fn is_under_way(&self, upload: u8) -> bool {
        let records =
            |(deployer, at): (usize, &Deployer)| matches!(at, Deployer::Records(_)) && deployer == usize::from(upload);
        self.late.contains(&Write::Record { upload }) || self.deployers.iter().enumerate().any(records)
    }
}

impl Garbage {
    /// A write and what follows: an answer, no answer to a write that was applied, or to one that is late. `answered` is told
    /// whether the condition held; without an answer, `given_up`.
    fn write(
        &self,
        (who, what): (&'static str, &'static str),
        (state, write): (&State, Write),
        answered: impl Fn(&mut State, bool),
        given_up: impl Fn(&mut State),
        next: &mut Next<State>,
    ) {
        next.can(who, what, state, |state| {
            let held = state.apply(write, self.broken);
            answered(state, held);
        });
        if state.faults == 0 {
            return;
        }
        next.can(who, "loses an answer", state, |state| {
            state.faults -= 1;
            state.apply(write, self.broken);
            given_up(state);
        });
        next.can(who, "gives up a write that stays on its way", state, |state| {
            state.faults -= 1;
            state.late.push(write);
            state.late.sort();
            given_up(state);
        });
    }
}

impl Protocol for Garbage {
    type State = State;

    fn start(&self) -> State {
        State {
            functions: 0,
            referred: false,
            objects: 0,
            record: None,
            chunks: vec![],
            uploads: 0,
            deployers: vec![Deployer::Claims(None); self.deployers],
            collectors: vec![Collector::Idle; self.collectors],
            lock: None,
            believes: vec![false; self.collectors],
            late: vec![],
            collections: self.collections,
            deletes: self.deletes,
            faults: self.faults,
            trespassed: false,
        }
    }

    fn steps(&self, state: &State, next: &mut Next<State>) {
        for d in 0..self.deployers {
            self.deployer(state, d, next);
        }
        for c in 0..self.collectors {
            self.collector(state, c, next);
        }
        if state.referred && state.deletes > 0 {
            next.can("somebody", "deletes the function", state, |state| {
                state.deletes -= 1;
                state.functions += 1;
                state.referred = false;
            });
        }
        for index in 0..state.late.len() {
            let applied = state.clone().apply(state.late[index], self.broken);
            let what = if applied { "applies a late write" } else { "refuses a late write" };
            next.can("the server", what, state, |state| {
                let write = state.late.remove(index);
                state.apply(write, self.broken);
            });
        }
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        if state.trespassed {
            return Some("somebody removes something under another's lock");
        }
        let whole = state.record.is_some_and(|record| state.has_chunks(record.upload));
        (state.referred && !whole).then_some("a function refers to an artifact that was collected")
    }
}
