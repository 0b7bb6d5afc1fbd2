//! Instances that take several invocations at once.

use tokio::time::advance;

use super::rig::{Rig, Task};
use super::*;

/// Settings of a pool whose instances take `concurrency` invocations at once.
fn shared(max_instances: u32, concurrency: u32) -> Scale {
    Scale { max_instances, concurrency, ..Scale::default() }
}

#[tokio::test(start_paused = true)]
async fn the_first_instance_is_filled_before_the_second() {
    let rig = Rig::new(&shared(2, 2));
    let [a, b, c, d] = [rig.take(), rig.take(), rig.take(), rig.take()];
    assert_eq!([&a, &b, &c, &d].map(Task::id), [0, 0, 1, 1]);
    assert_eq!([&a, &b, &c, &d].map(|task| task.warm), [false, true, false, true]);
    c.done();
    a.done();
    let e = rig.take();
    assert_eq!((e.id(), e.warm), (0, true));
    assert_eq!(rig.take().id(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_all_compute_there_are_as_many_as_there_are_cores() {
    let rig = Rig::new(&shared(10, 4));
    let a = rig.take();
    a.works(true);
    let b = rig.take();
    assert_eq!((b.id(), b.warm), (1, false), "the first has room, and computes");
    // One that waits goes before one that computes.
    assert_eq!((rig.take().id(), rig.made()), (1, 2));
    b.works(true);
    // No core is left for a third: they go where there is room.
    let [c, d] = [rig.take(), rig.take()];
    assert_eq!(([c.id(), d.id()], rig.made()), ([0, 0], 2));
    a.works(false);
    assert_eq!(rig.take().id(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_computes_is_shared_where_no_other_may_be_made() {
    let rig = Rig::new(&shared(1, 2));
    let a = rig.take();
    a.works(true);
    assert_eq!((rig.take().id(), rig.made()), (0, 1), "max_instances");
    let room = Room::new(1);
    let rig = Rig::within(&room, &shared(10, 2), Isolation::Instance);
    let a = rig.take();
    a.works(true);
    let b = rig.take();
    assert_eq!((b.id(), rig.made()), (0, 1), "the host's room");
    let mut c = rig.wait();
    assert!(!c.is_served());
    b.done();
    assert_eq!(rig.start(c.served()).id(), 0, "who waits is served by what has room, though it computes");
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_not_exceeded_and_waiters_are_served_in_order() {
    let rig = Rig::new(&shared(1, 2));
    let (a, b) = (rig.take(), rig.take());
    let (mut c, mut d) = (rig.wait(), rig.wait());
    assert_eq!(rig.occupancy(), (1, 0, 2));
    b.done();
    assert!(!d.is_served());
    let c = rig.start(c.served());
    a.done();
    let d = rig.start(d.served());
    assert_eq!([&c, &d].map(Task::id), [0, 0]);
    assert_eq!(rig.made(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_just_made_serves_as_many_waiters_as_fit() {
    let rig = Rig::new(&shared(1, 3));
    let making = rig.wait().served();
    let [mut b, mut c, mut d] = [rig.wait(), rig.wait(), rig.wait()];
    let a = rig.start(making);
    let (b, c) = (rig.start(b.served()), rig.start(c.served()));
    assert_eq!([&a, &b, &c].map(Task::id), [0, 0, 0]);
    assert!(!d.is_served());
    assert_eq!(rig.occupancy(), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retired_instance_takes_nothing_new_and_goes_when_its_last_use_ends() {
    let rig = Rig::new(&shared(1, 3));
    let [a, b] = [rig.take(), rig.take()];
    a.retire();
    let mut waiter = rig.wait();
    assert!(!waiter.is_served(), "it has room, but is retired");
    assert_eq!(rig.gone(), NONE);
    assert_eq!(rig.occupancy(), (1, 0, 1));
    b.done();
    assert_eq!(rig.gone(), [0]);
    let next = rig.start(waiter.served());
    assert_eq!((next.id(), next.warm), (1, false));
}

#[tokio::test(start_paused = true)]
async fn max_requests_is_not_exceeded_by_those_who_share() {
    let rig = Rig::new(&Scale { max_requests: 3, ..shared(1, 10) });
    let [a, b, c] = [rig.take(), rig.take(), rig.take()];
    let mut fourth = rig.wait();
    assert!(!fourth.is_served(), "it has room, but was leased three times");
    for task in [a, b] {
        task.done();
    }
    assert!(!fourth.is_served() && rig.gone().is_empty());
    c.done();
    assert_eq!(rig.gone(), [0]);
    assert_eq!(rig.start(fourth.served()).id(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_just_made_serves_no_more_waiters_than_max_requests() {
    let rig = Rig::new(&Scale { max_requests: 2, ..shared(1, 10) });
    let making = rig.wait().served();
    let (mut second, mut third) = (rig.wait(), rig.wait());
    let a = rig.start(making);
    assert!(!third.is_served());
    let b = rig.start(second.served());
    a.done();
    b.done();
    assert_eq!(rig.gone(), [0]);
    assert_eq!(rig.start(third.served()).id(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_granted_to_a_cancelled_waiter_goes_to_the_next_and_retires_nothing() {
    let rig = Rig::new(&shared(1, 2));
    let (a, b) = (rig.take(), rig.take());
    let (granted, mut next) = (rig.wait(), rig.wait());
    a.done();
    drop(granted);
    let c = rig.start(next.served());
    assert_eq!((c.id(), c.warm), (0, true));
    let granted = rig.wait();
    b.done();
    drop(granted);
    c.done();
    assert_eq!(rig.gone(), NONE);
    assert_eq!(rig.turn(), (0, true));
}

#[tokio::test(start_paused = true)]
async fn the_instance_idle_longest_goes_first_whenever_it_was_made() {
    let scale = Scale { min_warm: 1, ..shared(3, 2) };
    let rig = Rig::new(&scale);
    let idle_in_order = async |rig: &Rig| {
        let tasks = std::iter::repeat_with(|| rig.take()).take(6).collect::<Vec<_>>();
        // The first instance is the last to become idle.
        for task in tasks.into_iter().rev() {
            task.done();
            advance(SECOND).await;
        }
    };
    idle_in_order(&rig).await;
    advance(1_000 * SECOND).await;
    assert_eq!(rig.sweep(), [2, 1]);
    assert_eq!(rig.turn(), (0, true));

    let rig = Rig::new(&scale);
    idle_in_order(&rig).await;
    assert_eq!(rig.evict(), Some(2));
    assert_eq!(rig.evict(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_instance_at_work_is_not_idle_however_long() {
    let rig = Rig::new(&shared(2, 2));
    let (a, b) = (rig.take(), rig.take());
    a.done();
    advance(1_000 * SECOND).await;
    assert_eq!(rig.sweep(), NONE);
    assert_eq!((rig.evict(), rig.pool.idle_since()), (None, None));
    assert_eq!(rig.occupancy(), (1, 0, 0));
    b.done();
    assert_eq!(rig.occupancy(), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_instance_made_ahead_of_time_serves_as_many_waiters_as_fit() {
    let rig = Rig::new(&Scale { min_warm: 1, ..shared(1, 2) });
    let ahead = rig.prewarm();
    let [mut a, mut b, mut c] = [rig.wait(), rig.wait(), rig.wait()];
    ahead.done();
    let tasks = [rig.start(a.served()), rig.start(b.served())];
    assert_eq!(tasks.each_ref().map(Task::id), [0, 0]);
    assert!(!c.is_served());
    assert!(rig.pool.prewarm().is_none());
}

#[tokio::test(start_paused = true)]
async fn making_an_instance_ahead_of_time_is_no_use_of_it() {
    let rig = Rig::new(&Scale { min_warm: 1, max_requests: 1, ..shared(1, 2) });
    rig.prewarm().done();
    assert_eq!(rig.occupancy(), (0, 1, 0));
    assert!(rig.pool.prewarm().is_none(), "or instances would be made without end");
    assert_eq!([rig.turn(), rig.turn()], [(0, true), (1, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_shares_nothing_more() {
    let rig = Rig::new(&shared(2, 2));
    let a = rig.take();
    let making = rig.wait();
    drop(making);
    rig.pool.close();
    let late = rig.take();
    assert_eq!((late.id(), late.warm), (1, false), "the one at work is retired");
    let mut waiter = rig.wait();
    assert!(!waiter.is_served(), "neither is one made since shared");
    a.done();
    assert_eq!(rig.gone(), [0]);
    rig.start(waiter.served()).done();
    late.done();
    assert_eq!(rig.gone(), [0, 2, 1]);
    assert_eq!(rig.occupancy(), (0, 0, 0));
}
