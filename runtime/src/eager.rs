//! A future that is polled again at once when it wakes itself.
//!
//! A task that is woken while it runs goes to the end of its thread's queue. For an instance that takes several invocations
//! that is the wrong place: wasmtime gives way before each step of a guest that could wait (`Store::run_concurrent`), and so does
//! a set of futures after each of its rounds. All others of the queue then send it their requests before it has done with
//! the first, and each of them waits for all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::turn;

/// How often it is polled in one go: then it is others' turn, whatever there is to do.
const MOST_POLLS: u32 = 16;

/// It is not polled, and nothing has woken it.
const IDLE: u8 = 0;
/// It is being polled.
const POLLED: u8 = 1;
/// Something has woken it.
const WOKEN: u8 = 2;

/// A future that is polled again at once when it wakes itself, as long as its turn is not used up (`turn.rs`).
pub(crate) struct Eager<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// Of `bell`.
    waker: Waker,
}

/// Is rung to wake the future up.
struct Bell {
    state: AtomicU8,
    /// Who polls it.
    outer: Mutex<Waker>,
}

impl<F: Future> Eager<F> {
    /// Of a future that has not been polled.
    pub(crate) fn new(future: F) -> Self {
        let bell = Arc::new(Bell { state: AtomicU8::new(IDLE), outer: Mutex::new(Waker::noop().clone()) });
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Tells of it from elsewhere.
    pub(crate) fn activity(&self) -> Activity {
        Activity(Arc::clone(&self.bell))
    }
}

/// Tells whether a future is at work.
pub(crate) struct Activity(Arc<Bell>);

impl Activity {
    /// Whether it is being polled, or is about to be.
    pub(crate) fn is_at_work(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) != IDLE
    }
}

impl Bell {
    fn polled_by(&self, waker: &Waker) {
        self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
    }

    fn wake_outer(&self) {
        // Not under the lock: nobody knows what a waker does.
        let waker = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waker.wake();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == IDLE {
            self.wake_outer();
        }
    }
}

impl<F: Future> Future for Eager<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, bell, waker } = self.get_mut();
        bell.polled_by(cx.waker());
        for _ in 0..MOST_POLLS {
            bell.state.store(POLLED, Ordering::Release);
            if let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(end);
            }
            let idle = bell.state.compare_exchange(POLLED, IDLE, Ordering::AcqRel, Ordering::Acquire);
            if idle.is_ok() {
                return Poll::Pending;
            }
            if turn::is_used_up() {
                break;
            }
        }
        bell.wake_outer();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls it once, and answers whether it has ended, and how often it woke its poller.
    fn polled<F: Future>(eager: &mut Eager<F>) -> (bool, u32) {
        let count = Arc::new(Count::default());
        let ended = Pin::new(eager).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&count)))).is_ready();
        (ended, count.0.load(Ordering::Relaxed))
    }

    /// Wakes itself so often before it ends.
    fn restless(mut times: u32) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn what_wakes_itself_goes_on_at_once() {
        assert_eq!(polled(&mut Eager::new(restless(MOST_POLLS - 1))), (true, 0));
    }

    #[test]
    fn what_wakes_itself_again_and_again_gives_way_and_is_polled_again() {
        let mut eager = Eager::new(restless(MOST_POLLS));
        assert_eq!(polled(&mut eager), (false, 1));
        assert_eq!(polled(&mut eager), (true, 0));
    }

    /// Waits for ever, and keeps the waker of its last poll.
    fn patient(kept: &Arc<Mutex<Option<Waker>>>) -> impl Future<Output = ()> + use<> {
        let kept = Arc::clone(kept);
        poll_fn(move |cx| {
            *kept.lock().expect("no test panics with it") = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    #[test]
    fn who_polls_is_woken_by_what_it_waits_for_and_once() {
        let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
        let take = || kept.lock().expect("no test panics with it").take().expect("it was polled");
        let mut eager = Eager::new(patient(&kept));
        let activity = eager.activity();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        for round in 1..4 {
            assert!(Pin::new(&mut eager).poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(!activity.is_at_work());
            let kept = take();
            kept.wake_by_ref();
            assert!(activity.is_at_work());
            kept.wake();
            assert_eq!(count.0.load(Ordering::Relaxed), round);
        }
        // Who polls it now is woken, not who did before.
        let other = Arc::new(Count::default());
        assert!(Pin::new(&mut eager).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&other)))).is_pending());
        take().wake();
        assert_eq!((count.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (3, 1));
    }

    #[tokio::test]
    async fn a_wake_from_another_thread_is_not_lost() {
        for _ in 0..200 {
            let (send, receive) = futures_channel::oneshot::channel();
            let sender = std::thread::spawn(move || send.send(7));
            assert_eq!(Eager::new(receive).await, Ok(7));
            assert_eq!(sender.join().expect("it does not panic"), Ok(()));
        }
    }
}
