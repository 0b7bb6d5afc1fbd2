//! Something that is said now and then, however often it happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often it may be said anew.
const EVERY: Duration = Duration::from_secs(60);

/// Lets so many through in a minute.
pub(super) struct Seldom {
    most: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: Option<Instant>,
    said: u32,
    left_out: u64,
}

impl Seldom {
    pub(super) fn new(most: u32) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Whether it is to be said now; and how often it was not since it was said last.
    pub(super) fn now(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.begun.is_none_or(|begun| begun.elapsed() >= EVERY) {
            (state.begun, state.said) = (Some(Instant::now()), 0);
        }
        if state.said == self.most {
            state.left_out += 1;
            return None;
        }
        state.said += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_are_said_in_a_minute_and_the_rest_is_counted() {
        let seldom = Seldom::new(2);
        assert_eq!([(); 5].map(|()| seldom.now()), [Some(0), Some(0), None, None, None]);
        tokio::time::advance(EVERY).await;
        assert_eq!([(); 3].map(|()| seldom.now()), [Some(3), Some(0), None]);
    }
}
