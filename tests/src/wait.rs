//! Waiting for what must happen, with deadlines so long that only something that never happens meets them.

use std::fmt::Debug;
use std::time::Duration;

/// How long anything may take on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a future, but not for ever.
///
/// # Panics
/// When the deadline passes.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: did not happen within {DEADLINE:?}"),
    }
}

/// Looks again and again until what it sees is as expected, and gives it back.
///
/// # Panics
/// When the deadline passes, with what was seen last.
pub async fn eventually<T: Debug>(what: &str, mut look: impl AsyncFnMut() -> T, expected: impl Fn(&T) -> bool) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        let seen = look().await;
        if expected(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}; seen last: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
