//! The pool with instances that do nothing but note their end. `rig` drives it; here, instances take one invocation each.

use std::time::Duration;

use tokio::time::{Instant, advance};

use self::rig::{Rig, Task, exclusive};
use super::*;

mod properties;
mod rig;
mod room;
mod shared;

const SECOND: Duration = Duration::from_secs(1);

/// No instance.
const NONE: [u64; 0] = [];

#[tokio::test(start_paused = true)]
async fn the_instance_used_last_is_used_first() {
    let rig = Rig::new(&exclusive(3));
    let [a, b, c] = [rig.take(), rig.take(), rig.take()];
    assert_eq!([a.id(), b.id(), c.id()], [0, 1, 2]);
    for task in [b, c, a] {
        task.done();
    }
    let again = [rig.take(), rig.take(), rig.take()];
    assert_eq!(again.each_ref().map(Task::id), [0, 2, 1]);
    assert!(again.iter().all(|task| task.warm));
}

#[tokio::test(start_paused = true)]
async fn idle_instances_go_after_idle_timeout_the_oldest_first() {
    let rig = Rig::new(&Scale { idle_timeout: samovar_model::Span::secs(10), ..exclusive(3) });
    for task in [rig.take(), rig.take(), rig.take()] {
        task.done();
        advance(SECOND).await;
    }
    advance(7 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(rig.sweep(), NONE, "one millisecond early");
    advance(Duration::from_millis(1)).await;
    assert_eq!(rig.sweep(), [0]);
    advance(5 * SECOND).await;
    assert_eq!(rig.sweep(), [1, 2]);
    assert_eq!(rig.gone(), [0, 1, 2]);
    assert_eq!(rig.occupancy(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn use_starts_the_idle_timeout_anew() {
    let rig = Rig::new(&Scale { idle_timeout: samovar_model::Span::secs(10), ..exclusive(1) });
    rig.take().done();
    advance(9 * SECOND).await;
    rig.take().done();
    advance(9 * SECOND).await;
    assert_eq!(rig.sweep(), NONE);
    advance(SECOND).await;
    assert_eq!(rig.sweep(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_leaves_min_warm_instances_and_counts_busy_ones_among_them() {
    let rig = Rig::new(&Scale { min_warm: 2, ..exclusive(4) });
    for task in [rig.take(), rig.take(), rig.take(), rig.take()] {
        task.done();
    }
    let busy = rig.take();
    assert_eq!(busy.id(), 3);
    advance(1_000 * SECOND).await;
    assert_eq!(rig.sweep(), [0, 1]);
    assert_eq!(rig.occupancy(), (1, 1, 0));
    busy.done();
    advance(1_000 * SECOND).await;
    assert_eq!(rig.sweep(), NONE);
    assert_eq!(rig.occupancy(), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn max_instances_is_not_exceeded_and_waiters_are_served_in_order() {
    let rig = Rig::new(&exclusive(2));
    let (first, second) = (rig.take(), rig.take());
    let [mut a, mut b, mut c] = [rig.wait(), rig.wait(), rig.wait()];
    assert_eq!(rig.occupancy(), (2, 0, 3));

    second.done();
    assert!(!b.is_served() && !c.is_served());
    let a = rig.start(a.served());
    assert_eq!((a.id(), a.warm), (1, true));

    // A retired instance leaves room for one more, which the next waiter makes.
    first.retire();
    assert!(!c.is_served());
    let b = rig.start(b.served());
    assert_eq!((b.id(), b.warm), (2, false));

    a.done();
    let c = rig.start(c.served());
    assert_eq!((c.id(), c.warm), (1, true));
    assert_eq!(rig.occupancy(), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_cannot_be_made_makes_room_for_the_next() {
    let rig = Rig::new(&exclusive(1));
    let lease = rig.wait().served();
    assert!(lease.instance.is_none());
    let mut next = rig.wait();
    assert!(!next.is_served());
    drop(lease);
    assert!(next.served().instance.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_says_how_many_wait() {
    let rig = Rig::new(&Scale { queue: 2, ..exclusive(1) });
    let busy = rig.take();
    let waiting = [rig.wait(), rig.wait()];
    assert_eq!(rig.wait().fault(), Fault::QueueFull(2));
    assert_eq!(rig.occupancy(), (1, 0, 2));
    drop(waiting);
    busy.done();

    let rig = Rig::new(&Scale { queue: 0, ..exclusive(1) });
    let _busy = rig.take();
    assert_eq!(rig.wait().fault(), Fault::QueueFull(0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_queue_deadline_and_says_how_long_it_was() {
    let rig = Rig::new(&Scale { queue_timeout: samovar_model::Span::millis(1_500), ..exclusive(1) });
    let busy = rig.take();
    let limit = Duration::from_millis(1_500);
    let begun = Instant::now();
    let refused = rig.pool.lease(|| false).await.err();
    assert_eq!(refused, Some(Fault::QueueDeadline(limit)));
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit + Duration::from_millis(10));
    assert_eq!(rig.occupancy(), (1, 0, 0));
    busy.done();
    assert_eq!(rig.take().id(), 0, "who gave up got nothing");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_comes_back_at_the_queue_deadline_still_counts() {
    let rig = Rig::new(&Scale { queue_timeout: samovar_model::Span::secs(1), ..exclusive(1) });
    let busy = rig.take();
    let mut waiter = rig.wait();
    advance(2 * SECOND).await;
    busy.done();
    assert!(waiter.served().instance.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_leaves_no_trace() {
    let rig = Rig::new(&exclusive(1));
    let busy = rig.take();
    let [a, mut b, c] = [rig.wait(), rig.wait(), rig.wait()];
    drop((a, c));
    assert_eq!(rig.occupancy(), (1, 0, 1));
    busy.done();
    rig.start(b.served()).done();
    assert_eq!(rig.occupancy(), (0, 1, 0));
    assert_eq!(rig.gone(), NONE);
}

#[tokio::test(start_paused = true)]
async fn an_instance_granted_to_a_cancelled_waiter_goes_to_the_next_alive() {
    let rig = Rig::new(&exclusive(1));
    let busy = rig.take();
    let (granted, mut next) = (rig.wait(), rig.wait());
    busy.done();
    drop(granted);
    let task = rig.start(next.served());
    assert_eq!((task.id(), task.warm), (0, true));
    assert_eq!(rig.gone(), NONE);

    // Nobody is next: it stays warm.
    let granted = rig.wait();
    task.done();
    assert_eq!(rig.occupancy(), (1, 0, 0));
    drop(granted);
    assert_eq!(rig.occupancy(), (0, 1, 0));
    assert_eq!(rig.gone(), NONE);
}

#[tokio::test(start_paused = true)]
async fn room_granted_to_a_cancelled_waiter_goes_to_the_next() {
    let rig = Rig::new(&exclusive(1));
    let busy = rig.take();
    let (granted, mut next) = (rig.wait(), rig.wait());
    busy.retire();
    drop(granted);
    assert!(next.served().instance.is_none());
    drop(next);
    assert_eq!(rig.occupancy(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_replaced_after_max_requests() {
    let rig = Rig::new(&Scale { max_requests: 2, ..exclusive(1) });
    let served: Vec<_> = std::iter::repeat_with(|| rig.turn()).take(5).collect();
    assert_eq!(served, [(0, false), (0, true), (1, false), (1, true), (2, false)]);
    assert_eq!(rig.gone(), [0, 1]);
    assert_eq!(rig.occupancy(), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_kept_for_ever_without_max_requests() {
    let rig = Rig::new(&Scale { max_requests: 0, ..exclusive(1) });
    assert!((0..1_000).all(|turn| rig.turn() == (0, turn > 0)));
}

#[tokio::test(start_paused = true)]
async fn isolation_by_request_makes_an_instance_for_each() {
    let rig = Rig::isolated(&exclusive(1));
    assert_eq!([rig.turn(), rig.turn()], [(0, false), (1, false)]);
    let busy = rig.take();
    let mut waiter = rig.wait();
    busy.done();
    assert!(waiter.served().instance.is_none(), "a waiter too makes its own");
    assert_eq!(rig.gone(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_keeps_nothing_but_serves_what_waits() {
    let rig = Rig::new(&exclusive(2));
    let (a, b) = (rig.take(), rig.take());
    let (mut c, mut d) = (rig.wait(), rig.wait());
    rig.pool.close();
    assert_eq!(rig.gone(), NONE, "what runs goes on");
    a.done();
    assert_eq!(rig.gone(), [0]);
    let c = rig.start(c.served());
    assert_eq!((c.id(), c.warm), (2, false));
    b.retire();
    let d = rig.start(d.served());
    c.done();
    d.done();
    assert_eq!(rig.gone(), [0, 1, 2, 3]);
    assert_eq!(rig.turn(), (4, false), "who comes late is served too");
    assert_eq!(rig.occupancy(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn closing_drops_what_is_idle() {
    let rig = Rig::new(&Scale { min_warm: 2, ..exclusive(3) });
    let [a, b, c] = [rig.take(), rig.take(), rig.take()];
    a.done();
    b.done();
    let permit = rig.pool.prewarm();
    assert!(permit.is_none());
    rig.pool.close();
    assert_eq!(rig.gone(), [0, 1]);
    assert_eq!(rig.occupancy(), (1, 0, 0));
    assert!(rig.pool.prewarm().is_none(), "min_warm no longer holds");
    c.done();
    assert_eq!(rig.occupancy(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn occupancy_adds_up() {
    let rig = Rig::new(&exclusive(2));
    assert_eq!(rig.occupancy(), (0, 0, 0));
    let making = rig.wait().served();
    assert_eq!(rig.occupancy(), (1, 0, 0), "one that is being made is busy");
    let a = rig.start(making);
    let b = rig.take();
    assert_eq!(rig.occupancy(), (2, 0, 0));
    let waiter = rig.wait();
    assert_eq!(rig.occupancy(), (2, 0, 1));
    a.done();
    assert_eq!(rig.occupancy(), (2, 0, 0), "granted, if not yet received");
    drop(waiter);
    assert_eq!(rig.occupancy(), (1, 1, 0));
    b.retire();
    assert_eq!(rig.occupancy(), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn prewarm_stops_at_min_warm() {
    let rig = Rig::new(&Scale { min_warm: 2, ..exclusive(3) });
    let (first, second) = (rig.prewarm(), rig.prewarm());
    assert!(rig.pool.prewarm().is_none(), "two are being made");
    second.done();
    first.retire();
    assert_eq!(rig.occupancy(), (0, 1, 0));
    rig.prewarm().done();
    assert!(rig.pool.prewarm().is_none(), "two are idle");
    let tasks = [rig.take(), rig.take(), rig.take()];
    assert_eq!(tasks.each_ref().map(|task| task.warm), [true, true, false]);
    assert!(rig.pool.prewarm().is_none(), "three are busy");
}

#[tokio::test(start_paused = true)]
async fn an_instance_made_ahead_of_time_serves_who_waits() {
    let rig = Rig::new(&Scale { min_warm: 1, ..exclusive(1) });
    let ahead = rig.prewarm();
    let mut waiter = rig.wait();
    assert!(!waiter.is_served());
    ahead.done();
    assert!(waiter.served().instance.is_some());
}

#[tokio::test(start_paused = true)]
async fn evict_takes_the_instance_that_has_been_idle_longest() {
    let rig = Rig::new(&Scale { min_warm: 3, ..exclusive(3) });
    assert_eq!((rig.evict(), rig.pool.idle_since()), (None, None));
    let [a, b, c] = [rig.take(), rig.take(), rig.take()];
    assert_eq!((rig.evict(), rig.pool.idle_since()), (None, None), "all are busy");
    let begun = Instant::now();
    b.done();
    advance(SECOND).await;
    a.done();
    assert_eq!(rig.pool.idle_since(), Some(begun));
    assert_eq!(rig.evict(), Some(1));
    assert_eq!(rig.pool.idle_since(), Some(begun + SECOND));
    assert_eq!(rig.evict(), Some(0));
    assert_eq!(rig.evict(), None);
    assert_eq!(rig.occupancy(), (1, 0, 0));
    c.done();
}

/// Real threads: waiters vanish while others give back; a lock taken twice or a lost grant would show as a hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_and_giving_back_at_once_loses_nothing() {
    let rig = Rig::new(&Scale { queue: 10_000, queue_timeout: samovar_model::Span::secs(60), ..exclusive(2) });
    let mut tasks = Vec::new();
    for turn in 0..2_000_u32 {
        let rig = rig.clone();
        let task = tokio::spawn(async move {
            let lease = rig.pool.lease(|| false).await.expect("room in the queue, time enough");
            let task = rig.start(lease);
            tokio::task::yield_now().await;
            if turn % 7 == 0 { task.retire() } else { task.done() }
        });
        tasks.push(task);
        if turn % 3 == 0 {
            tasks[turn as usize / 2].abort();
            tokio::task::yield_now().await;
        }
    }
    for task in tasks {
        let ended = tokio::time::timeout(Duration::from_secs(30), task).await.expect("served or aborted, not stuck");
        assert!(ended.is_ok() || ended.is_err_and(|error| error.is_cancelled()));
    }
    let Occupancy { busy, queued, .. } = rig.pool.occupancy();
    assert_eq!((busy, queued), (0, 0));
    rig.pool.close();
    assert_eq!(rig.occupancy(), (0, 0, 0));
    assert_eq!(rig.gone().len() as u64, rig.made());
}
