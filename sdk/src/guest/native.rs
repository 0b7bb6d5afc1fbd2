//! A native test: the environment is the process's and the test's, time is a thread's, all else that is reached is the test's.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub(crate) use crate::testing::{Bucket, all_config, config, log, secret, send};

pub(crate) fn env(name: &str) -> Option<String> {
    crate::testing::env(name).or_else(|| std::env::var(name).ok())
}

/// Wakes from a thread, so that it works under any executor.
pub(crate) async fn sleep(duration: Duration) {
    let until = Instant::now() + duration;
    let waker = Arc::<Mutex<Option<Waker>>>::default();
    let mut started = false;
    std::future::poll_fn(move |cx| {
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        *waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if !std::mem::replace(&mut started, true) {
            let waker = Arc::clone(&waker);
            std::thread::spawn(move || {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                if let Some(waker) = waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    waker.wake();
                }
            });
        }
        Poll::Pending
    })
    .await;
}
