//! Where a pool keeps its instances: those that wait for an invocation, and those that several invocations share.
//!
//! ```text
//! exclusive  stands here while it waits; taken down for an invocation, and put back
//! shared     stands here from its making to its end, with a count of the invocations at work in it
//! retired    a shared one that takes nothing new, and goes when the last invocation has left it
//! ```

use tokio::time::Instant;

use super::Pooled;

/// Which shared instances come into question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    /// Those that do not compute just now.
    Waiting,
    /// All.
    All,
}

/// A pool's instances. Whoever takes one out of it drops it elsewhere, not under the pool's lock.
pub(super) struct Shelf<I>(Vec<Entry<I>>);

struct Entry<I> {
    instance: I,
    /// Invocations at work in a shared instance.
    in_use: usize,
    /// Invocations that a shared instance was leased for so far.
    leases: u64,
    /// A shared instance that takes nothing new.
    retired: bool,
    idle_since: Instant,
}

impl<I> Entry<I> {
    fn new(instance: I) -> Self {
        Self { instance, in_use: 0, leases: 0, retired: false, idle_since: Instant::now() }
    }

    /// Begins one use of a shared instance; the last that it may have retires it.
    fn lease(&mut self, max_requests: u64) {
        self.in_use += 1;
        self.leases += 1;
        self.retired |= self.leases >= max_requests;
    }
}

impl<I: Pooled> Shelf<I> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts an instance where the next invocation finds it.
    pub(super) fn put(&mut self, instance: I) {
        self.0.push(Entry::new(instance));
    }

    /// Puts a shared instance here with its first invocation at work in it.
    pub(super) fn put_at_work(&mut self, instance: I, max_requests: u64, retired: bool) {
        let mut entry = Entry::new(instance);
        entry.lease(max_requests);
        entry.retired |= retired;
        self.0.push(entry);
    }

    /// Takes the exclusive instance that was used last.
    pub(super) fn take(&mut self) -> Option<I> {
        self.0.pop().map(|entry| entry.instance)
    }

    /// Begins one more use of a shared instance that has a place free, and answers a handle to it: of the first that does not
    /// compute, or else of the first.
    pub(super) fn join(&mut self, concurrency: usize, max_requests: u64, among: Among) -> Option<I> {
        let free = |entry: &Entry<I>| !entry.retired && entry.in_use < concurrency;
        let waits = |entry: &Entry<I>| free(entry) && !entry.instance.is_at_work();
        let index = match (self.0.iter().position(waits), among) {
            (None, Among::All) => self.0.iter().position(free),
            (waiting, _) => waiting,
        };
        let entry = &mut self.0[index?];
        entry.lease(max_requests);
        entry.instance.share()
    }

    /// Ends one use of a shared instance. Answers the instance when it is to go.
    pub(super) fn leave(&mut self, id: u64, retire: bool) -> Option<I> {
        let index = self.0.iter().position(|entry| entry.instance.id() == id)?;
        let entry = &mut self.0[index];
        entry.in_use -= 1;
        entry.retired |= retire;
        entry.idle_since = Instant::now();
        (entry.retired && entry.in_use == 0).then(|| self.0.remove(index).instance)
    }

    /// Whether a shared instance is idle once one more invocation leaves it.
    pub(super) fn is_last_in(&self, id: u64) -> bool {
        self.0.iter().any(|entry| entry.instance.id() == id && entry.in_use == 1)
    }

    /// Whether a shared instance is about to go.
    pub(super) fn one_is_retired(&self) -> bool {
        self.0.iter().any(|entry| entry.retired)
    }

    /// Where the instance stands that has been idle longest, and since when it has. Shared instances keep their places
    /// whenever they are used, so that this need not be the first.
    fn idle_longest(&self) -> Option<(usize, Instant)> {
        let idle = self.0.iter().enumerate().filter(|(_, entry)| entry.in_use == 0);
        idle.map(|(index, entry)| (index, entry.idle_since)).min_by_key(|(_, since)| *since)
    }

    /// When the instance that has been idle longest was last used.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_longest().map(|(_, since)| since)
    }

    /// Takes out the instance that has been idle longest.
    pub(super) fn evict(&mut self) -> Option<I> {
        let (index, _) = self.idle_longest()?;
        Some(self.0.remove(index).instance)
    }

    /// Takes out idle instances that have come to an end by themselves.
    pub(super) fn take_dead(&mut self) -> Vec<I> {
        self.0
            .extract_if(.., |entry| entry.in_use == 0 && !entry.instance.is_sound())
            .map(|entry| entry.instance)
            .collect()
    }

    /// Retires all: takes out those that are idle, and the others go when they become so.
    pub(super) fn close(&mut self) -> Vec<I> {
        let idle = self.0.extract_if(.., |entry| entry.in_use == 0).map(|entry| entry.instance).collect();
        for entry in &mut self.0 {
            entry.retired = true;
        }
        idle
    }

    /// How many are idle.
    pub(super) fn idle(&self) -> usize {
        self.0.iter().filter(|entry| entry.in_use == 0).count()
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> impl Iterator<Item = (u64, usize, bool)> + '_ {
        self.0.iter().map(|entry| (entry.instance.id(), entry.in_use, entry.retired))
    }
}
