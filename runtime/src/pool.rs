//! The warm pool of one revision: which instances there are, who gets one next, and who waits.
//!
//! Idle instances form a stack: the one used last is used first, so that surplus ones stay idle and age out. An instance that
//! takes several invocations at once stays where it is and is filled up before the next one, to the same effect. But an
//! instance computes on one core at a time: where those that have room do, there may be as many as there are cores.
//!
//! ```text
//! lease -> Warm(instance)      one was idle, or one became free while waiting
//!       -> Make                the pool may have one more and the host has room for it: the caller makes it
//!       -> refused             the queue is full, or the wait was too long
//! Permit: give_back(instance)  it waits for the next invocation
//!         dropped              the instance is gone: retired
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samovar_model::{ComponentKind, Fault, Isolation, Scale};
use tokio::time::Instant;

use crate::room::{Member, Room, Seat, Share};

use permit::Place;
use queue::Queue;
use shelf::{Among, Shelf};

mod permit;
mod queue;
mod shelf;

pub(crate) use permit::{Lease, Permit};

/// The most invocations of one instance of WASI 0.3. Guests made with wit-bindgen 0.57 keep some handles of each that ran a
/// task (seen: about three), and an instance may have 5,000 handles: a new one in good time costs less than one crash.
const MAX_REQUESTS_WASI03: u64 = 500;

/// What a pool holds.
pub(crate) trait Pooled: Send + Sized + 'static {
    /// Gives it the seat that it lives on, which it gives up when nothing of it is left.
    fn sit(&self, seat: Seat);

    /// Another handle to the same instance, where it can take several invocations at once.
    fn share(&self) -> Option<Self>;

    /// A number that no other instance of this host has.
    fn id(&self) -> u64;

    /// Invocations that it was leased for so far.
    fn uses(&self) -> u64;

    /// Whether it computes, or is about to: what is sent to it now has to wait for that.
    fn is_at_work(&self) -> bool;

    /// Whether it may serve; one that works on by itself can come to an end while it is idle.
    fn is_sound(&self) -> bool {
        true
    }
}

/// What bounds a pool.
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    min_warm: usize,
    max_instances: usize,
    concurrency: usize,
    /// As many instances as this may be there because the others compute, though they have room.
    cores: usize,
    idle_timeout: Duration,
    max_requests: u64,
    queue: usize,
    queue_timeout: Duration,
}

impl PoolConfig {
    pub(crate) fn new(scale: &Scale, isolation: Isolation, kind: ComponentKind) -> Self {
        let most = match kind {
            ComponentKind::Wasi02 => u64::MAX,
            ComponentKind::Wasi03 => MAX_REQUESTS_WASI03,
        };
        let max_requests = match isolation {
            Isolation::Request => 1,
            Isolation::Instance if scale.max_requests == 0 => most,
            Isolation::Instance => scale.max_requests.min(most),
        };
        Self {
            min_warm: scale.min_warm as usize,
            max_instances: scale.max_instances as usize,
            concurrency: scale.concurrency as usize,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            idle_timeout: scale.idle_timeout.as_duration(),
            max_requests,
            queue: scale.queue as usize,
            queue_timeout: scale.queue_timeout.as_duration(),
        }
    }
}

/// The pool of one revision.
pub(crate) struct Pool<I: Pooled> {
    config: PoolConfig,
    /// What this pool has of the host's room.
    share: Arc<Share>,
    state: Mutex<State<I>>,
}

struct State<I: Pooled> {
    shelf: Shelf<I>,
    /// Instances that are alive, or being made.
    live: usize,
    queue: Queue<Lease<I>>,
    /// Whether the pool stands in line for a seat in the host's room.
    in_line: bool,
    /// A closed pool keeps nothing that is given back.
    closed: bool,
}

/// How a pool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub(crate) busy: usize,
    pub(crate) idle: usize,
    pub(crate) queued: usize,
}

impl<I: Pooled> Pool<I> {
    /// An empty pool for instances that live in this room.
    pub(crate) fn new(config: PoolConfig, room: &Arc<Room>) -> Arc<Self> {
        let queue = Queue::new(config.queue, config.queue_timeout);
        let state = State { shelf: Shelf::new(), live: 0, queue, in_line: false, closed: false };
        Arc::new(Self { config, share: room.share(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases an instance that waits for an invocation, if there is one.
    pub(crate) fn warm(self: &Arc<Self>) -> Option<(I, Permit<I>)> {
        let mut state = self.lock();
        let lease = self.take_idle(&mut state)?;
        drop(state);
        Some((lease.instance?, lease.permit))
    }

    /// Leases an instance, or the right to make one, at once where possible. Where the host has no room for one more, `search`
    /// is to drop an idle instance of any pool, if there is one.
    ///
    /// # Errors
    /// [`Fault::QueueFull`], [`Fault::QueueDeadline`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue; an instance that was granted meanwhile goes to the next.
    pub(crate) async fn lease(self: &Arc<Self>, search: impl FnOnce() -> bool + Send) -> Result<Lease<I>, Fault> {
        let (mut place, in_line) = {
            let mut state = self.lock();
            if let Some(lease) = self.take(&mut state) {
                return Ok(lease);
            }
            let ticket = state.queue.join()?;
            let undeliverable = self.grant(&mut state);
            let in_line = state.in_line;
            drop(state);
            Self::settle(undeliverable);
            (Place { pool: self, ticket }, in_line)
        };
        if in_line && self.share.room().wants_search() && !search() {
            self.share.room().searched_in_vain();
        }
        match tokio::time::timeout(self.config.queue_timeout, &mut place.ticket.granted).await {
            Ok(Ok(lease)) => Ok(lease),
            // It may have been granted at the very moment the wait ended.
            Err(_) => place.leave().ok_or(Fault::QueueDeadline(self.config.queue_timeout)),
            Ok(Err(_)) => Err(Fault::Draining),
        }
    }

    /// Takes what can be had at once: an instance that waits, or the right to make one.
    fn take(self: &Arc<Self>, state: &mut State<I>) -> Option<Lease<I>> {
        if let Some(lease) = self.take_idle(state) {
            return Some(lease);
        }
        let seat = if state.live < self.config.max_instances { self.share.take() } else { None };
        match seat {
            Some(seat) => Some(self.make(state, seat)),
            None => self.join(state, Among::All),
        }
    }

    /// The right to make an instance.
    fn make(self: &Arc<Self>, state: &mut State<I>, seat: Seat) -> Lease<I> {
        state.live += 1;
        Lease { instance: None, permit: self.permit(None, Some(seat)) }
    }

    fn take_idle(self: &Arc<Self>, state: &mut State<I>) -> Option<Lease<I>> {
        if self.config.concurrency > 1 {
            let may_grow = state.live < self.config.cores.min(self.config.max_instances);
            return self.join(state, if may_grow { Among::Waiting } else { Among::All });
        }
        let instance = state.shelf.take()?;
        Some(Lease { instance: Some(instance), permit: self.permit(None, None) })
    }

    /// Begins one more use of a shared instance.
    fn join(self: &Arc<Self>, state: &mut State<I>, among: Among) -> Option<Lease<I>> {
        let instance = state.shelf.join(self.config.concurrency, self.config.max_requests, among)?;
        let permit = self.permit(Some(instance.id()), None);
        Some(Lease { instance: Some(instance), permit })
    }

    fn permit(self: &Arc<Self>, shared: Option<u64>, seat: Option<Seat>) -> Permit<I> {
        Permit { pool: Some(Arc::clone(self)), seat, shared, ahead: false }
    }

    /// The right to make an instance ahead of time, while fewer than `min_warm` are alive and the host has room.
    pub(crate) fn prewarm(self: &Arc<Self>) -> Option<Permit<I>> {
        let mut state = self.lock();
        if state.closed || state.live >= self.config.min_warm {
            return None;
        }
        let seat = self.share.take()?;
        state.live += 1;
        Some(Permit { pool: Some(Arc::clone(self)), seat: Some(seat), shared: None, ahead: true })
    }

    /// Grants what has become free to those who wait. Where that is not enough and the pool may grow, it stands in line for a
    /// seat. Answers what could not be delivered, which must not be dropped while the state is locked.
    fn grant(self: &Arc<Self>, state: &mut State<I>) -> Vec<Lease<I>> {
        let mut undeliverable = Vec::new();
        while !state.queue.is_empty() {
            let lease = match self.take_idle(state) {
                Some(lease) => lease,
                None if state.live >= self.config.max_instances => break,
                None => {
                    let member = || Arc::clone(self) as Arc<dyn Member>;
                    let seat = if state.in_line { self.share.take() } else { self.share.take_or_stand(member) };
                    match seat {
                        Some(seat) => self.make(state, seat),
                        None => {
                            state.in_line = true;
                            let Some(lease) = self.join(state, Among::All) else { break };
                            lease
                        }
                    }
                }
            };
            undeliverable.extend(state.queue.grant(lease).err());
        }
        undeliverable
    }

    /// Puts back what could not be delivered.
    fn settle(undeliverable: Vec<Lease<I>>) {
        for lease in undeliverable {
            if let Some(instance) = lease.instance {
                lease.permit.give_back(instance);
            }
        }
    }

    fn give_back(self: &Arc<Self>, shared: Option<u64>, instance: I) {
        let mut state = self.lock();
        let worn = state.closed || instance.uses() >= self.config.max_requests || self.is_to_yield(&state, shared);
        let mut surplus = Some(instance);
        let mut gone = None;
        match shared {
            Some(id) => gone = Self::release(&mut state, id, worn),
            None if worn => state.live -= 1,
            None => {
                let handle = surplus.as_ref().filter(|_| self.config.concurrency > 1).and_then(I::share);
                if let Some(kept) = handle.or_else(|| surplus.take()) {
                    state.shelf.put(kept);
                }
            }
        }
        if !worn {
            self.share.room().kept();
        }
        let undeliverable = self.grant(&mut state);
        drop(state);
        // Dropping an instance unmaps its memory, and offers its seat to others: not under the lock.
        drop((surplus, gone));
        Self::settle(undeliverable);
    }

    /// Whether an instance that is given back is to make room for another pool's: where it would stand idle while others are
    /// in line, or where this pool has more than its part. Of shared instances one is emptied at a time.
    fn is_to_yield(&self, state: &State<I>, shared: Option<u64>) -> bool {
        if !self.share.is_contended() {
            return false;
        }
        let Some(id) = shared else { return state.queue.is_empty() || self.share.owes() };
        (state.queue.is_empty() && state.shelf.is_last_in(id)) || (!state.shelf.one_is_retired() && self.share.owes())
    }

    /// Ends one use of a shared instance. Answers the instance when it is to go.
    fn release(state: &mut State<I>, id: u64, retire: bool) -> Option<I> {
        let gone = state.shelf.leave(id, retire)?;
        state.live -= 1;
        Some(gone)
    }

    fn retire(self: &Arc<Self>, shared: Option<u64>) {
        let mut state = self.lock();
        let gone = match shared {
            Some(id) => Self::release(&mut state, id, true),
            None => {
                state.live -= 1;
                None
            }
        };
        let undeliverable = self.grant(&mut state);
        drop(state);
        drop(gone);
        Self::settle(undeliverable);
    }

    /// Takes out the instances that have been idle for too long, the least recently used first, but leaves `min_warm`.
    /// The caller drops them.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<I> {
        let mut state = self.lock();
        let surplus = if state.closed { state.live } else { state.live.saturating_sub(self.config.min_warm) };
        let idle_timeout = self.config.idle_timeout;
        let mut swept = state.shelf.take_dead();
        while swept.len() < surplus
            && state.shelf.idle_since().is_some_and(|since| now.saturating_duration_since(since) >= idle_timeout)
        {
            swept.extend(state.shelf.evict());
        }
        state.live -= swept.len();
        swept
    }

    /// When the instance that has been idle longest was last used.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.lock().shelf.idle_since()
    }

    /// Takes out the instance that has been idle longest, to make room on the host. The caller drops it.
    pub(crate) fn evict(&self) -> Option<I> {
        let mut state = self.lock();
        let gone = state.shelf.evict()?;
        state.live -= 1;
        Some(gone)
    }

    /// Keeps nothing from now on: the revision was replaced. What runs goes on; what waits is still served.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let gone = state.shelf.close();
        state.live -= gone.len();
        drop(state);
        drop(gone);
    }

    /// How the pool stands now.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let state = self.lock();
        let idle = state.shelf.idle();
        Occupancy { busy: state.live - idle, idle, queued: state.queue.len() }
    }
}

impl<I: Pooled> Member for Pool<I> {
    fn offer(self: Arc<Self>, seat: Seat) -> Result<(), Seat> {
        let mut state = self.lock();
        state.in_line = false;
        if state.queue.is_empty() || state.live >= self.config.max_instances {
            return Err(seat);
        }
        let lease = self.make(&mut state, seat);
        let mut undeliverable: Vec<_> = state.queue.grant(lease).err().into_iter().collect();
        undeliverable.extend(self.grant(&mut state));
        drop(state);
        Self::settle(undeliverable);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
