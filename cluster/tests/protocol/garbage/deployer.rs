//! What one deployer does: it uploads the artifact, and deploys it.

use super::{Broken, DEPLOYERS, Deployer, Garbage, State, Write};
use crate::explore::Next;

impl Garbage {
    pub(super) fn deployer(&self, state: &State, d: usize, next: &mut Next<State>) {
        let who = DEPLOYERS[d];
        let to = move |at: Deployer| move |state: &mut State| state.deployers[d] = at;
        let failed = |state: &mut State| state.deployers[d] = Deployer::Done;
        // An upload puts the object when it is not there; a deploy is refused.
        let missing = |decided: Option<u8>| decided.map_or(Deployer::Puts, |_| Deployer::Done);
        match state.deployers[d] {
            Deployer::Claims(decided) => match state.record {
                Some(record) => next.can(who, "reads the record", state, to(Deployer::Counts(decided, record))),
                None if decided.is_some() => next.can(who, "is refused for want of the artifact", state, failed),
                None => next.can(who, "finds no record", state, to(missing(decided))),
            },
            Deployer::Counts(decided, record) if state.has_chunks(record.upload) => {
                next.can(who, "counts the chunks", state, to(Deployer::Renews(decided, record)));
            }
            Deployer::Counts(decided, _) => next.can(who, "misses chunks", state, to(missing(decided))),
            Deployer::Renews(decided, record) => {
                let answered = |state: &mut State, renewed| {
                    state.deployers[d] = match (renewed, decided) {
                        (false, _) => Deployer::Claims(decided),
                        (true, None) => Deployer::Uploaded,
                        (true, Some(before)) => Deployer::Commits(before),
                    };
                };
                self.write((who, "renews the record"), (state, Write::Renewal(record)), answered, failed, next);
            }
            // Each deployer has one upload: a second one is another deployer's.
            Deployer::Puts if state.uploads & (1 << d) != 0 => {}
            Deployer::Puts => next.can(who, "stores chunks", state, |state| {
                let existing = state.record.map(|record| record.upload);
                state.uploads |= 1 << d;
                state.objects += 1;
                state.chunks.push((d as u8, state.objects));
                state.chunks.sort();
                state.deployers[d] = Deployer::Records(existing);
            }),
            Deployer::Records(existing) => {
                let answered = |state: &mut State, _| {
                    state.deployers[d] = existing.map_or(Deployer::Uploaded, Deployer::Tidies);
                };
                let write = Write::Record { upload: d as u8 };
                self.write((who, "writes the record"), (state, write), answered, failed, next);
            }
            Deployer::Tidies(upload) => {
                let answered = |state: &mut State, _| state.deployers[d] = Deployer::Uploaded;
                let write = Write::ChunkRemoval { upload };
                self.write((who, "removes the chunks before its own"), (state, write), answered, failed, next);
            }
            Deployer::Uploaded if state.referred => next.can(who, "finds it deployed", state, failed),
            Deployer::Uploaded => next.can(who, "decides", state, |state| {
                let before = state.functions;
                let claims = self.broken != Broken::NoClaim;
                state.deployers[d] = if claims { Deployer::Claims(Some(before)) } else { Deployer::Commits(before) };
            }),
            Deployer::Commits(before) => {
                let answered = |state: &mut State, stored| {
                    state.deployers[d] = if stored { Deployer::Done } else { Deployer::Uploaded };
                };
                self.write((who, "commits"), (state, Write::Commit { before }), answered, failed, next);
            }
            Deployer::Done => {}
        }
    }
}
