//! Random sequences of all that can happen to a pool, against what must hold after each step.

use std::collections::BTreeMap;

use proptest::prelude::*;
use samovar_model::Span;
use tokio::time::advance;

use super::rig::{Rig, Task, Waiting};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Lease,
    /// A waiter hears of its grant, or of its deadline.
    Hear(usize),
    /// A waiter, which may have been granted something, goes away.
    Cancel(usize),
    /// A cold lease gets its instance.
    Make(usize),
    /// A cold lease's instance cannot be made, or its caller goes away.
    Fail(usize),
    GiveBack(usize),
    Retire(usize),
    Prewarm,
    /// An instance made ahead of time is ready.
    Ready(usize),
    Sweep,
    Evict,
    Advance(u64),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..8_usize;
    prop_oneof![
        8 => Just(Step::Lease),
        4 => which.clone().prop_map(Step::Hear),
        2 => which.clone().prop_map(Step::Cancel),
        5 => which.clone().prop_map(Step::Make),
        1 => which.clone().prop_map(Step::Fail),
        6 => which.clone().prop_map(Step::GiveBack),
        2 => which.clone().prop_map(Step::Retire),
        1 => Just(Step::Prewarm),
        1 => which.prop_map(Step::Ready),
        1 => Just(Step::Sweep),
        1 => Just(Step::Evict),
        2 => (1..80_u64).prop_map(Step::Advance),
        // Rarely: most of a sequence should see the pool open.
        1 => prop_oneof![9 => Just(Step::Sweep), 1 => Just(Step::Close)],
    ]
}

fn settings() -> impl Strategy<Value = (Scale, Isolation)> {
    let isolation = prop_oneof![4 => Just(Isolation::Instance), 1 => Just(Isolation::Request)];
    (1..5_u32, 1..4_u32, 0..3_u32, 0..5_u64, 0..5_u32, isolation).prop_map(
        |(max_instances, concurrency, min_warm, max_requests, queue, isolation)| {
            let concurrency = if isolation == Isolation::Request { 1 } else { concurrency };
            let min_warm = min_warm.min(max_instances);
            let (idle_timeout, queue_timeout) = (Span::millis(50), Span::millis(100));
            let scale =
                Scale { min_warm, max_instances, concurrency, idle_timeout, max_requests, queue, queue_timeout };
            (scale, isolation)
        },
    )
}

/// A pool and everybody who has to do with it.
struct World {
    rig: Rig,
    scale: Scale,
    isolation: Isolation,
    waiting: Vec<Waiting>,
    /// Cold leases.
    making: Vec<Permit<rig::Fake>>,
    /// Rights to make an instance ahead of time.
    ahead: Vec<Permit<rig::Fake>>,
    at_work: Vec<Task>,
    closed: bool,
}

/// Takes out one of the things there are, if any.
fn pick<T>(things: &mut Vec<T>, which: usize) -> Option<T> {
    let index = which.checked_rem(things.len())?;
    Some(things.remove(index))
}

impl World {
    fn new(scale: Scale, isolation: Isolation) -> Self {
        let rig = Rig::with(&scale, isolation);
        let (waiting, making, ahead, at_work) = (vec![], vec![], vec![], vec![]);
        Self { rig, scale, isolation, waiting, making, ahead, at_work, closed: false }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Lease => {
                let waiting = self.rig.wait();
                self.hear(waiting);
            }
            Step::Hear(which) => {
                if let Some(waiting) = pick(&mut self.waiting, which) {
                    self.hear(waiting);
                }
            }
            Step::Cancel(which) => drop(pick(&mut self.waiting, which)),
            Step::Make(which) => {
                if let Some(permit) = pick(&mut self.making, which) {
                    let task = self.rig.make(permit);
                    self.work(task);
                }
            }
            Step::Fail(which) => drop(pick(&mut self.making, which)),
            Step::GiveBack(which) => {
                if let Some(task) = pick(&mut self.at_work, which) {
                    task.done();
                }
            }
            Step::Retire(which) => drop(pick(&mut self.at_work, which)),
            Step::Prewarm => self.ahead.extend(self.rig.pool.prewarm()),
            Step::Ready(which) => {
                if let Some(permit) = pick(&mut self.ahead, which) {
                    let gone = self.rig.gone().len();
                    self.rig.make(permit).done();
                    assert_eq!(self.rig.gone().len() - gone, usize::from(self.closed), "kept while open");
                }
            }
            Step::Sweep => self.sweep(),
            Step::Evict => {
                let idle = self.rig.pool.occupancy().idle;
                assert_eq!(self.rig.evict().is_some(), idle > 0);
            }
            Step::Advance(millis) => advance(Duration::from_millis(millis)).await,
            Step::Close => {
                self.rig.pool.close();
                self.closed = true;
            }
        }
    }

    fn hear(&mut self, mut waiting: Waiting) {
        match waiting.answer() {
            None => self.waiting.push(waiting),
            Some(Ok(lease)) if lease.instance.is_some() => {
                let task = self.rig.start(lease);
                self.count_use(&task);
                self.at_work.push(task);
            }
            Some(Ok(lease)) => self.making.push(lease.permit),
            // Fewer where the wait would be too long.
            Some(Err(Fault::QueueFull(queued))) => assert!(queued <= self.scale.queue as usize),
            Some(Err(Fault::QueueDeadline(limit))) => assert_eq!(limit, self.scale.queue_timeout.as_duration()),
            Some(Err(fault)) => panic!("{fault}"),
        }
    }

    fn work(&mut self, task: Task) {
        task.fake.used();
        self.count_use(&task);
        self.at_work.push(task);
    }

    fn count_use(&self, task: &Task) {
        let most = match self.isolation {
            Isolation::Request => 1,
            Isolation::Instance if self.scale.max_requests == 0 => u64::MAX,
            Isolation::Instance => self.scale.max_requests,
        };
        let uses = task.fake.uses();
        assert!(uses <= most, "instance {} used {uses} times", task.id());
    }

    fn sweep(&self) {
        let before = self.rig.pool.lock().live;
        let swept = self.rig.sweep().len();
        let live = self.rig.pool.lock().live;
        assert_eq!(before, live + swept);
        assert!(swept == 0 || live >= self.scale.min_warm as usize);
        if live > self.scale.min_warm as usize {
            let limit = self.scale.idle_timeout.as_duration();
            assert!(self.rig.pool.idle_since().is_none_or(|since| since.elapsed() < limit), "swept all it may");
        }
    }

    /// What holds at any time.
    fn check(&self) {
        let (busy, idle, queued) = self.rig.occupancy();
        let max_instances = self.scale.max_instances as usize;
        let concurrency = self.scale.concurrency as usize;
        assert!(busy + idle <= max_instances);
        assert!(queued <= self.waiting.len() && queued <= self.scale.queue as usize);
        let alive = self.rig.made() as usize - self.rig.gone().len();
        assert!(alive + self.making.len() + self.ahead.len() <= busy + idle, "the pool counts at least what there is");
        if queued > 0 {
            assert_eq!((busy, idle), (max_instances, 0), "nobody waits while there is an instance, or room for one");
            let state = self.rig.pool.lock();
            assert!(
                concurrency == 1 || state.shelf.in_use().all(|(_, in_use, retired)| retired || in_use == concurrency)
            );
        }
        if self.closed {
            assert_eq!(idle, 0);
        }
        let mut holders = BTreeMap::new();
        for task in &self.at_work {
            *holders.entry(task.id()).or_insert(0) += 1;
        }
        assert!(holders.values().all(|held| *held <= concurrency));
        let in_use = self.rig.in_use();
        assert!(in_use.values().all(|uses| *uses <= concurrency));
        if concurrency > 1 {
            // Grants that nobody has heard of yet are uses too.
            assert!(holders.iter().all(|(id, held)| in_use.get(id).is_some_and(|uses| uses >= held)));
        } else {
            assert!(holders.keys().all(|id| !in_use.contains_key(id)), "nobody holds what stands idle");
        }
    }

    /// Everybody goes; nothing may be left.
    fn end(mut self) {
        for (index, task) in std::mem::take(&mut self.at_work).into_iter().enumerate() {
            if index % 2 == 0 {
                task.done()
            } else {
                task.retire()
            }
            self.check();
        }
        self.making.clear();
        self.ahead.clear();
        self.waiting.clear();
        let (busy, _, queued) = self.rig.occupancy();
        assert_eq!((busy, queued), (0, 0), "all permits are back, and nobody waits");
        self.rig.pool.close();
        assert_eq!(self.rig.occupancy(), (0, 0, 0));
        let mut gone = self.rig.gone();
        gone.sort_unstable();
        assert_eq!(gone, (0..self.rig.made()).collect::<Vec<_>>(), "each instance went, once");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaks_and_nobody_waits_in_vain(
        (scale, isolation) in settings(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(async {
            let mut world = World::new(scale, isolation);
            for step in steps {
                world.step(step).await;
                world.check();
            }
            world.end();
        });
    }
}
