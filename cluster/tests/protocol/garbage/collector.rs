//! What one collector does: it takes the lock, and collects.

use super::{Broken, COLLECTORS, Collector, Garbage, Record, State, Write};
use crate::explore::Next;

impl Garbage {
    pub(super) fn collector(&self, state: &State, c: usize, next: &mut Next<State>) {
        let who = COLLECTORS[c];
        let ended = |state: &mut State| {
            state.collectors[c] = Collector::Idle;
            state.believes[c] = false;
            if state.lock == Some(c) {
                state.lock = None;
            }
        };
        if state.believes[c] {
            next.can(who, "is unsure of the lock", state, |state| state.believes[c] = false);
        } else if state.lock == Some(c) {
            next.can(who, "has its lock expire", state, |state| state.lock = None);
        }
        let may_remove = state.believes[c] || matches!(self.broken, Broken::LockNotChecked | Broken::NoLock);
        match state.collectors[c].clone() {
            Collector::Idle if state.collections > 0 && (state.lock.is_none() || self.broken == Broken::NoLock) => {
                next.can(who, "takes the lock", state, |state| {
                    state.collections -= 1;
                    state.collectors[c] = Collector::Locked;
                    if self.broken != Broken::NoLock {
                        state.lock = Some(c);
                        state.believes[c] = true;
                    }
                });
            }
            Collector::Idle => {}
            Collector::Locked => next.can(who, "writes a fence", state, |state| {
                if self.broken != Broken::NoFence {
                    state.functions += 1;
                }
                let written = state.chunks.iter().map(|(upload, _)| *upload);
                let old = written.filter(|upload| !state.is_under_way(*upload)).collect();
                state.collectors[c] = Collector::Fenced { old, at: state.objects };
            }),
            Collector::Fenced { old, at } => {
                let mut hears = |what, referred| {
                    let old = old.clone();
                    next.can(who, what, state, |state| state.collectors[c] = Collector::Knows { old, at, referred });
                };
                hears("hears what is referred to", state.referred);
                if self.broken == Broken::OldTable {
                    hears("goes by what it heard before", false);
                }
            }
            Collector::Knows { old, at, referred } => next.can(who, "lists the chunks", state, |state| {
                let chunks = state.chunks.iter().map(|(upload, _)| *upload).collect();
                state.collectors[c] = Collector::Listed { old, at, referred, chunks };
            }),
            Collector::Listed { old, at, referred, chunks } => {
                // What it keeps for the record that is there, and what of the rest is old.
                let others = |keep: Option<u8>| {
                    let goes =
                        |upload: &&u8| Some(**upload) != keep && (old.contains(upload) || self.broken == Broken::NoAge);
                    chunks.iter().filter(goes).copied().collect::<Vec<_>>()
                };
                let is_old = |record: Record| record.sequence <= at || self.broken == Broken::NoAge;
                next.can(who, "looks at the record", state, |state| {
                    state.collectors[c] = match state.record {
                        Some(record) if !referred && is_old(record) => {
                            Collector::Removes { old: old.clone(), at, record, chunks: chunks.clone() }
                        }
                        Some(record) => Collector::Tidies(others(Some(record.upload))),
                        None => Collector::Tidies(others(None)),
                    };
                });
            }
            Collector::Removes { .. } | Collector::Tidies(_) if !may_remove => {
                next.can(who, "leaves the rest to the next one", state, ended);
            }
            Collector::Removes { old, record, chunks, .. } => {
                let answered = |state: &mut State, removed: bool| {
                    let goes = |upload: &&u8| (removed || **upload != record.upload) && old.contains(upload);
                    state.collectors[c] = Collector::Tidies(chunks.iter().filter(goes).copied().collect());
                    state.trespassed |= state.lock.is_some_and(|holder| holder != c);
                };
                let write = Write::RecordRemoval { up_to: record.sequence };
                self.write((who, "removes the record"), (state, write), answered, ended, next);
            }
            Collector::Tidies(chunks) => match chunks.split_first() {
                None => next.can(who, "is done", state, ended),
                Some((&upload, rest)) => {
                    let answered = |state: &mut State, _| {
                        state.collectors[c] = Collector::Tidies(rest.to_vec());
                        state.trespassed |= state.lock.is_some_and(|holder| holder != c);
                    };
                    let write = Write::ChunkRemoval { upload };
                    self.write((who, "removes chunks"), (state, write), answered, ended, next);
                }
            },
        }
    }
}
