//! What drives a pool in tests: instances that note their end, tasks that hold one, waiters that are polled by hand.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use samovar_model::{ComponentKind, Scale};

use super::super::*;

/// Settings of a pool whose instances take one invocation at a time.
pub(super) fn exclusive(max_instances: u32) -> Scale {
    Scale { max_instances, ..Scale::default() }
}

/// An instance, or another handle to it.
#[derive(Clone)]
pub(super) struct Fake(Arc<Body>);

struct Body {
    id: u64,
    uses: AtomicU64,
    shareable: bool,
    at_work: AtomicBool,
    gone: Arc<Mutex<Vec<u64>>>,
    seat: OnceLock<Seat>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.gone.lock().expect("no test panics with it").push(self.id);
    }
}

impl Fake {
    pub(super) fn used(&self) -> u64 {
        self.0.uses.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Pooled for Fake {
    fn sit(&self, seat: Seat) {
        assert!(self.0.seat.set(seat).is_ok(), "it has a seat");
    }

    fn share(&self) -> Option<Self> {
        self.0.shareable.then(|| self.clone())
    }

    fn id(&self) -> u64 {
        self.0.id
    }

    fn is_at_work(&self) -> bool {
        self.0.at_work.load(Ordering::Relaxed)
    }

    fn uses(&self) -> u64 {
        self.0.uses.load(Ordering::Relaxed)
    }
}

/// A pool, and what became of its instances.
#[derive(Clone)]
pub(super) struct Rig {
    pub(super) pool: Arc<Pool<Fake>>,
    shareable: bool,
    made: Arc<AtomicU64>,
    gone: Arc<Mutex<Vec<u64>>>,
}

impl Rig {
    pub(super) fn new(scale: &Scale) -> Self {
        Self::with(scale, Isolation::Instance)
    }

    pub(super) fn isolated(scale: &Scale) -> Self {
        Self::with(scale, Isolation::Request)
    }

    pub(super) fn with(scale: &Scale, isolation: Isolation) -> Self {
        Self::within(&Room::new(usize::MAX), scale, isolation)
    }

    /// A pool that shares its room with others.
    pub(super) fn within(room: &Arc<Room>, scale: &Scale, isolation: Isolation) -> Self {
        let config = PoolConfig { cores: 2, ..PoolConfig::new(scale, isolation, ComponentKind::Wasi02) };
        let pool = Pool::new(config, room);
        Self { pool, shareable: scale.concurrency > 1, made: Arc::default(), gone: Arc::default() }
    }

    /// How many instances were made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// The instances that are gone, in that order.
    pub(super) fn gone(&self) -> Vec<u64> {
        self.gone.lock().expect("no test panics with it").clone()
    }

    /// Busy, idle, queued; checked against the count of living instances.
    pub(super) fn occupancy(&self) -> (usize, usize, usize) {
        let Occupancy { busy, idle, queued } = self.pool.occupancy();
        assert_eq!(busy + idle, self.pool.lock().live);
        (busy, idle, queued)
    }

    /// An invocation, polled once.
    pub(super) fn wait(&self) -> Waiting {
        let pool = Arc::clone(&self.pool);
        // A task's budget would let a poll by hand answer "pending" though it is not.
        let future = Box::pin(tokio::task::unconstrained(async move { pool.lease(|| false).await }));
        let mut waiting = Waiting { future: Some(future), answer: None };
        waiting.poll();
        waiting
    }

    /// Leases what must be there at once, and starts on it.
    pub(super) fn take(&self) -> Task {
        self.start(self.wait().served())
    }

    /// Starts on a lease: makes the instance if there is none, and uses it.
    pub(super) fn start(&self, lease: Lease<Fake>) -> Task {
        let warm = lease.instance.is_some();
        let task = match lease.instance {
            Some(fake) => Task { fake, permit: lease.permit, warm },
            None => self.make(lease.permit),
        };
        task.fake.used();
        task
    }

    /// Makes an instance, as far as sharing it.
    pub(super) fn make(&self, mut permit: Permit<Fake>) -> Task {
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        let body = Body {
            id,
            uses: AtomicU64::new(0),
            shareable: self.shareable,
            at_work: AtomicBool::new(false),
            gone: Arc::clone(&self.gone),
            seat: OnceLock::new(),
        };
        let fake = Fake(Arc::new(body));
        permit.made(&fake);
        Task { fake, permit, warm: false }
    }

    /// Makes an instance ahead of time, which must be wanted.
    pub(super) fn prewarm(&self) -> Task {
        self.make(self.pool.prewarm().expect("fewer than min_warm"))
    }

    /// One invocation from start to end: the instance, and whether it was warm.
    pub(super) fn turn(&self) -> (u64, bool) {
        let task = self.take();
        let turn = (task.id(), task.warm);
        task.done();
        turn
    }

    pub(super) fn sweep(&self) -> Vec<u64> {
        self.pool.sweep(Instant::now()).iter().map(|gone| gone.id()).collect()
    }

    pub(super) fn evict(&self) -> Option<u64> {
        self.pool.evict().map(|gone| gone.id())
    }

    /// Uses at work in each instance that others may share.
    pub(super) fn in_use(&self) -> BTreeMap<u64, usize> {
        self.pool.lock().shelf.in_use().map(|(id, in_use, _)| (id, in_use)).collect()
    }
}

/// An invocation that has its instance.
pub(super) struct Task {
    pub(super) fake: Fake,
    permit: Permit<Fake>,
    pub(super) warm: bool,
}

impl Task {
    pub(super) fn id(&self) -> u64 {
        self.fake.id()
    }

    /// Says whether its instance computes.
    pub(super) fn works(&self, at_work: bool) {
        self.fake.0.at_work.store(at_work, Ordering::Relaxed);
    }

    pub(super) fn done(self) {
        self.permit.give_back(self.fake);
    }

    pub(super) fn retire(self) {
        drop(self);
    }
}

type Answer = Result<Lease<Fake>, Fault>;

/// An invocation that may have to wait. Polled only by hand, so that a test says when it hears of its grant.
pub(super) struct Waiting {
    future: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    answer: Option<Answer>,
}

impl Waiting {
    fn poll(&mut self) {
        let Some(future) = &mut self.future else { return };
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.future = None;
            self.answer = Some(answer);
        }
    }

    /// What it was answered, if it was.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        self.poll();
        self.answer.take()
    }

    pub(super) fn is_served(&mut self) -> bool {
        self.poll();
        matches!(self.answer, Some(Ok(_)))
    }

    /// The lease that it must have by now.
    pub(super) fn served(&mut self) -> Lease<Fake> {
        let answer = self.answer().expect("still waiting");
        answer.unwrap_or_else(|fault| panic!("refused: {fault}"))
    }

    /// The refusal that it must have by now.
    pub(super) fn fault(&mut self) -> Fault {
        self.answer().expect("still waiting").err().expect("served")
    }
}
