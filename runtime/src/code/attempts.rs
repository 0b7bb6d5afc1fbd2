//! Components whose code is being prepared, or could not be a moment ago: neither is begun again for each request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samovar_model::Digest;
use tokio::time::Instant;

use super::CodeError;

/// How long a failure is remembered.
const MEMORY: Duration = Duration::from_secs(5);

/// The attempts of one host.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: HashSet<Digest>,
    failed: HashMap<Digest, (Instant, CodeError)>,
}

/// One attempt that is under way until this is dropped.
pub(crate) struct Turn {
    attempts: Arc<Attempts>,
    digest: Digest,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to prepare a component, unless somebody has it or the last attempt failed a moment ago.
    pub(crate) fn begin(self: &Arc<Self>, digest: Digest) -> Option<Turn> {
        let mut state = self.lock();
        if state.failed_lately(&digest).is_some() || !state.under_way.insert(digest) {
            return None;
        }
        Some(Turn { attempts: Arc::clone(self), digest })
    }

    /// Remembers why an attempt failed.
    pub(crate) fn failed(&self, digest: Digest, error: CodeError) {
        let mut state = self.lock();
        state.failed.retain(|_, (when, _)| when.elapsed() < MEMORY);
        state.failed.insert(digest, (Instant::now(), error));
    }

    /// Why the last attempt failed, if that was a moment ago.
    pub(crate) fn failed_lately(&self, digest: &Digest) -> Option<CodeError> {
        self.lock().failed_lately(digest).cloned()
    }
}

impl State {
    fn failed_lately(&self, digest: &Digest) -> Option<&CodeError> {
        self.failed.get(digest).filter(|(when, _)| when.elapsed() < MEMORY).map(|(_, error)| error)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.attempts.lock().under_way.remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_attempt_at_a_time_for_each_component() {
        let attempts = Arc::new(Attempts::default());
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let turn = attempts.begin(one).expect("nobody has begun");
        assert!(attempts.begin(one).is_none());
        assert!(attempts.begin(two).is_some());
        drop(turn);
        assert!(attempts.begin(one).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_remembered_for_a_while() {
        let attempts = Arc::new(Attempts::default());
        let digest = Digest::of(b"one");
        assert!(attempts.failed_lately(&digest).is_none());
        attempts.failed(digest, CodeError::Refused("no room".to_owned()));
        assert_eq!(attempts.failed_lately(&digest).expect("it failed just now").to_string(), "no room");
        assert!(attempts.begin(digest).is_none());
        tokio::time::advance(MEMORY).await;
        assert!(attempts.failed_lately(&digest).is_none());
        assert!(attempts.begin(digest).is_some());
    }
}
