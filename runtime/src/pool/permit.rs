//! What is taken out of a pool and given back: the right to use an instance, and a place in the queue for one.

use std::sync::Arc;

use super::queue::Ticket;
use super::{Pool, Pooled};
use crate::room::Seat;

/// What an invocation got from the pool.
pub(crate) struct Lease<I: Pooled> {
    /// The instance; none when the caller has to make one.
    pub(crate) instance: Option<I>,
    /// The right to use it.
    pub(crate) permit: Permit<I>,
}

/// The right to use one instance. Dropped without [`Permit::give_back`], the instance counts as gone.
pub(crate) struct Permit<I: Pooled> {
    pub(super) pool: Option<Arc<Pool<I>>>,
    /// The seat for an instance that is still to be made. Given up after the pool has counted it out.
    pub(super) seat: Option<Seat>,
    /// The shared instance that this permit is for.
    pub(super) shared: Option<u64>,
    /// For an instance made ahead of time: giving it back is what shares it, and does not count as a use.
    pub(super) ahead: bool,
}

impl<I: Pooled> Permit<I> {
    /// Gives a freshly made instance its seat, and puts a shared one where others can use it at once.
    pub(crate) fn made(&mut self, instance: &I) {
        let Some(pool) = &self.pool else { return };
        if let Some(seat) = self.seat.take() {
            instance.sit(seat);
        }
        if pool.config.concurrency <= 1 || self.ahead || self.shared.is_some() {
            return;
        }
        let Some(shared) = instance.share() else { return };
        self.shared = Some(instance.id());
        let mut state = pool.lock();
        let closed = state.closed;
        state.shelf.put_at_work(shared, pool.config.max_requests, closed);
        let undeliverable = pool.grant(&mut state);
        drop(state);
        Pool::settle(undeliverable);
    }

    /// Returns the instance for the next invocation.
    pub(crate) fn give_back(mut self, instance: I) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(self.shared, instance);
        }
    }
}

impl<I: Pooled> Drop for Permit<I> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.retire(self.shared);
        }
    }
}

/// A place in the queue, given up when dropped, along with what was granted to it and not received.
pub(super) struct Place<'a, I: Pooled> {
    pub(super) pool: &'a Pool<I>,
    pub(super) ticket: Ticket<Lease<I>>,
}

impl<I: Pooled> Place<'_, I> {
    /// Leaves the queue. Answers the lease if one was granted already and not received.
    pub(super) fn leave(&mut self) -> Option<Lease<I>> {
        if self.pool.lock().queue.leave(self.ticket.id) {
            return None;
        }
        self.ticket.granted.try_recv().ok()
    }
}

impl<I: Pooled> Drop for Place<'_, I> {
    fn drop(&mut self) {
        Pool::settle(self.leave().into_iter().collect());
    }
}
