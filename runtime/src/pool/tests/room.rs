//! Pools that share a host's room.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::rig::{Rig, Task, Waiting, exclusive};
use super::*;

fn room<const POOLS: usize>(seats: usize, scale: &Scale) -> [Rig; POOLS] {
    let room = Room::new(seats);
    std::array::from_fn(|_| Rig::within(&room, scale, Isolation::Instance))
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_waits_and_gets_what_another_function_frees() {
    let [a, b] = room(1, &exclusive(5));
    let task = a.take();
    let mut waiter = b.wait();
    assert!(!waiter.is_served());
    assert_eq!(b.occupancy(), (0, 0, 1));
    task.done();
    assert_eq!(a.gone(), [0], "it would have stood idle");
    let task = b.start(waiter.served());
    assert!(!task.warm);
    assert_eq!(a.occupancy(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_search_for_an_idle_instance_makes_room() {
    let [a, b] = room(1, &exclusive(5));
    a.take().done();
    let lease = b.pool.lease(|| a.evict().is_some()).await;
    assert!(lease.is_ok_and(|lease| lease.instance.is_none()));
    assert_eq!(a.gone(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_found_nothing_is_not_repeated_at_once() {
    let [a, b] = room(1, &exclusive(5));
    let _busy = a.take();
    let searches = AtomicUsize::new(0);
    for _ in 0..3 {
        let lease = b.pool.lease(|| {
            searches.fetch_add(1, Ordering::Relaxed);
            false
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), lease).await.is_err(), "no room");
    }
    assert_eq!(searches.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_became_idle_while_nobody_stood_in_line_is_found_at_once() {
    let [a, b] = room(2, &exclusive(5));
    let (first, second) = (a.take(), a.take());
    let mut waiter = b.wait();
    first.done();
    let _busy = b.start(waiter.served());
    second.done();
    assert_eq!(a.occupancy(), (0, 1, 0), "nobody is in line for it");
    let lease = b.pool.lease(|| a.evict().is_some()).await;
    assert!(lease.is_ok_and(|lease| lease.instance.is_none()));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_is_bounded_like_any_waiting() {
    let [a, b] = room(1, &Scale { queue: 1, ..exclusive(5) });
    let _busy = a.take();
    let _waiting = b.wait();
    assert_eq!(b.wait().fault(), Fault::QueueFull(1));
}

#[tokio::test(start_paused = true)]
async fn seats_go_round_among_functions_and_not_to_whoever_has_most_waiting() {
    let [a, b, c] = room(3, &exclusive(10));
    let held = [a.take(), a.take(), a.take()];
    let mut of_b: Vec<_> = std::iter::repeat_with(|| b.wait()).take(5).collect();
    let mut of_c = vec![c.wait()];
    let [first, second, third] = held;
    // One each: b has stood in line for longer, then c holds less.
    first.done();
    assert_eq!((served(&mut of_b), served(&mut of_c)), (1, 0));
    second.done();
    assert_eq!((served(&mut of_b), served(&mut of_c)), (1, 1));
    third.done();
    assert_eq!(served(&mut of_b), 2, "nobody else wants it");
}

#[tokio::test(start_paused = true)]
async fn a_function_with_more_than_its_part_gives_way_although_its_own_callers_wait() {
    let [flood, other] = room(4, &exclusive(10));
    let mut tasks: Vec<_> = std::iter::repeat_with(|| flood.take()).take(4).collect();
    let mut own: Vec<_> = std::iter::repeat_with(|| flood.wait()).take(8).collect();
    let mut others: Vec<_> = std::iter::repeat_with(|| other.wait()).take(8).collect();
    // Of the first two that come back, each goes to the other function.
    for expected in [1, 2] {
        tasks.remove(0).done();
        assert_eq!((served(&mut own), served(&mut others)), (0, expected));
    }
    // The shares are equal: what comes back stays.
    tasks.remove(0).done();
    assert_eq!((served(&mut own), served(&mut others)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_shared_instance_of_a_function_with_too_many_is_emptied_for_another() {
    let scale = Scale { concurrency: 2, ..exclusive(10) };
    let [flood, other] = room(3, &scale);
    let tasks: Vec<_> = std::iter::repeat_with(|| flood.take()).take(6).collect();
    let _own: Vec<_> = std::iter::repeat_with(|| flood.wait()).take(10).collect();
    let mut waiter = other.wait();
    let mut tasks = tasks.into_iter();
    let mut next = || tasks.next().expect("six");
    next().done();
    assert!(!waiter.is_served(), "the instance has another use");
    next().done();
    assert_eq!(flood.gone(), [0]);
    assert!(waiter.is_served());
}

#[tokio::test(start_paused = true)]
async fn a_seat_passes_over_those_whose_callers_have_gone() {
    let [a, b, c, d] = room(1, &exclusive(2));
    let task = a.take();
    let gone = [b.wait(), c.wait()];
    let mut waiter = d.wait();
    drop(gone);
    task.retire();
    assert!(waiter.served().instance.is_none());
}

#[tokio::test(start_paused = true)]
async fn instances_are_made_ahead_of_time_only_where_there_is_room() {
    let [a, b] = room(1, &Scale { min_warm: 1, ..exclusive(2) });
    let busy = a.take();
    assert!(b.pool.prewarm().is_none());
    busy.retire();
    assert!(b.pool.prewarm().is_some());
}

fn served(waiting: &mut [Waiting]) -> usize {
    waiting.iter_mut().map(|waiting| usize::from(waiting.is_served())).sum()
}

mod properties {
    //! Random histories of several pools in one room.

    use proptest::prelude::*;

    use super::*;

    const POOLS: usize = 3;

    #[derive(Debug, Clone)]
    enum Step {
        Lease(usize),
        Hear(usize, usize),
        Cancel(usize, usize),
        GiveBack(usize, usize),
        Retire(usize, usize),
        Evict(usize),
        Close(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = (0..POOLS, 0..8_usize);
        prop_oneof![
            8 => (0..POOLS).prop_map(Step::Lease),
            4 => at.clone().prop_map(|(p, w)| Step::Hear(p, w)),
            2 => at.clone().prop_map(|(p, w)| Step::Cancel(p, w)),
            6 => at.clone().prop_map(|(p, w)| Step::GiveBack(p, w)),
            2 => at.prop_map(|(p, w)| Step::Retire(p, w)),
            2 => (0..POOLS).prop_map(Step::Evict),
            1 => (0..POOLS * 8).prop_map(|p| if p < POOLS { Step::Close(p) } else { Step::Evict(p % POOLS) }),
        ]
    }

    struct Function {
        rig: Rig,
        waiting: Vec<Waiting>,
        at_work: Vec<Task>,
    }

    fn pick<T>(things: &mut Vec<T>, which: usize) -> Option<T> {
        let index = which.checked_rem(things.len())?;
        Some(things.remove(index))
    }

    impl Function {
        fn hear(&mut self, mut waiting: Waiting) {
            match waiting.answer() {
                None => self.waiting.push(waiting),
                Some(Ok(lease)) => self.at_work.push(self.rig.start(lease)),
                Some(Err(Fault::QueueFull(_))) => {}
                Some(Err(fault)) => panic!("{fault}"),
            }
        }

        fn step(&mut self, step: &Step) {
            match *step {
                Step::Lease(_) => {
                    let waiting = self.rig.wait();
                    self.hear(waiting);
                }
                Step::Hear(_, which) => {
                    if let Some(waiting) = pick(&mut self.waiting, which) {
                        self.hear(waiting);
                    }
                }
                Step::Cancel(_, which) => drop(pick(&mut self.waiting, which)),
                Step::GiveBack(_, which) => drop(pick(&mut self.at_work, which).map(Task::done)),
                Step::Retire(_, which) => drop(pick(&mut self.at_work, which)),
                Step::Evict(_) => drop(self.rig.evict()),
                Step::Close(_) => self.rig.pool.close(),
            }
        }
    }

    fn pool_of(step: &Step) -> usize {
        match *step {
            Step::Lease(pool)
            | Step::Hear(pool, _)
            | Step::Cancel(pool, _)
            | Step::GiveBack(pool, _)
            | Step::Retire(pool, _)
            | Step::Evict(pool)
            | Step::Close(pool) => pool,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_room_is_never_overfull_and_nobody_waits_while_it_has_a_seat(
            (seats, max_instances, concurrency) in (1..5_usize, 1..4_u32, 1..3_u32),
            steps in prop::collection::vec(step(), 1..120),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
            runtime.block_on(async {
                let scale = Scale { concurrency, queue: 4, ..exclusive(max_instances) };
                let mut functions = room::<POOLS>(seats, &scale).map(|rig| Function { rig, waiting: vec![], at_work: vec![] });
                for step in &steps {
                    functions[pool_of(step)].step(step);
                    let stands: Vec<_> = functions.iter().map(|function| function.rig.occupancy()).collect();
                    let live: usize = stands.iter().map(|(busy, idle, _)| busy + idle).sum();
                    assert!(live <= seats, "{live} of {seats}");
                    for (busy, idle, queued) in stands {
                        let may_grow = busy + idle < max_instances as usize && live < seats;
                        assert!(queued == 0 || (idle == 0 && !may_grow), "{queued} wait in vain");
                    }
                }
                for function in &mut functions {
                    function.waiting.clear();
                    function.at_work.clear();
                }
                for function in &functions {
                    function.rig.pool.close();
                    assert_eq!(function.rig.occupancy(), (0, 0, 0));
                }
                let all: Vec<_> = std::iter::repeat_with(|| functions[0].rig.pool.share.take()).take(seats + 1).collect();
                assert_eq!(all.iter().flatten().count(), seats, "every seat is free again");
            });
        }
    }
}
