//! The lane with futures that stand for guests.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::turn::Slice;

/// Computes for as long as it is told to, and gives up its turn where a guest would.
async fn compute(span: Duration) -> Duration {
    let (mut slice, mut charged) = (Slice::default(), Duration::ZERO);
    while charged < span {
        let until = Instant::now() + Duration::from_millis(1);
        while Instant::now() < until {}
        let crossing = turn::crossed(&mut slice);
        charged += crossing.charge;
        if crossing.used_up {
            tokio::task::yield_now().await;
        }
    }
    charged
}

fn send<T: Send + 'static>(lane: &Lane, guest: impl Future<Output = T> + Send + 'static) -> Away<T> {
    lane.send(Box::pin(guest), Waker::noop())
}

/// Waits for the end, polling again what waits.
async fn end<T: Send + 'static>(mut away: Away<T>) -> T {
    let mut back = poll_fn(|cx| away.poll(cx)).await;
    loop {
        match &mut back {
            Back::Waits(guest) => back = Back::Ended(guest.as_mut().await),
            Back::Ended(_) => {}
        }
        if let Back::Ended(end) = back {
            return end;
        }
    }
}

#[tokio::test]
async fn guests_take_turns() {
    let lane = Lane::start(1).expect("a thread");
    let long = send(&lane, compute(Duration::from_millis(300)));
    let short = send(&lane, compute(Duration::from_millis(15)));
    let begun = Instant::now();
    assert!(end(short).await >= Duration::from_millis(15));
    let short_took = begun.elapsed();
    assert!(end(long).await >= Duration::from_millis(300));
    assert!(short_took * 2 < begun.elapsed(), "{short_took:?} of {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_guest_that_waits_comes_back_and_finds_timers_of_the_runtime() {
    let lane = Lane::start(1).expect("a thread");
    let mut away = send(&lane, async {
        compute(Duration::from_millis(3)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        7
    });
    let Back::Waits(guest) = poll_fn(|cx| away.poll(cx)).await else { panic!("it sleeps") };
    assert_eq!(guest.await, 7);
}

/// Counts the guests that are gone.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_guest_whose_owner_left_stops_wherever_it_is() {
    let lane = Lane::start(1).expect("a thread");
    let gone = Arc::new(AtomicUsize::new(0));
    let guest = |gone: Gone| async move {
        compute(Duration::from_secs(3_600)).await;
        drop(gone);
    };
    let [running, queued] = std::array::from_fn(|_| send(&lane, guest(Gone(Arc::clone(&gone)))));
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(queued);
    drop(running);
    let begun = Instant::now();
    while gone.load(Ordering::SeqCst) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "a guest runs on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(end(send(&lane, async { 1 })).await, 1, "the lane goes on");
}

#[tokio::test]
async fn a_guest_that_answers_and_computes_on_wakes_its_owner() {
    let lane = Lane::start(1).expect("a thread");
    let (tell, mut told) = tokio::sync::oneshot::channel();
    let mut away = send(&lane, async move {
        tell.send(()).expect("it listens");
        compute(Duration::from_secs(3_600)).await;
    });
    let woken = poll_fn(|cx| {
        assert!(away.poll(cx).is_pending());
        if told.try_recv().is_ok() { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::time::timeout(Duration::from_secs(10), woken).await.expect("woken after a slice");
}

#[tokio::test]
async fn a_panic_reaches_the_owner_and_leaves_the_lane_alive() {
    let lane = Lane::start(1).expect("a thread");
    let guest = send(&lane, async { panic!("a host function's own mistake") });
    let ended = tokio::spawn(end::<()>(guest)).await;
    assert!(ended.is_err_and(|error| error.is_panic()));
    assert_eq!(end(send(&lane, async { 1 })).await, 1);
}
