//! What was said in the log, so that what goes on and on is not said again and again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many texts are told apart; further ones are not news before one of these is forgotten.
const TEXTS: usize = 32;

/// The texts that were said lately.
#[derive(Debug)]
pub(super) struct Said {
    /// When each was said.
    texts: Mutex<BTreeMap<String, Instant>>,
    /// How long each is remembered; for good where this is absent.
    memory: Option<Duration>,
}

impl Said {
    /// A text is news once a minute.
    pub(super) fn for_a_minute() -> Self {
        Self { texts: Mutex::default(), memory: Some(Duration::from_secs(60)) }
    }

    /// A text is news once.
    pub(super) fn for_good() -> Self {
        Self { texts: Mutex::default(), memory: None }
    }

    fn texts(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is to be said now; from now on it has been.
    pub(super) fn is_news(&self, text: &str) -> bool {
        let mut texts = self.texts();
        if let Some(memory) = self.memory {
            texts.retain(|_, said| said.elapsed() < memory);
        }
        let is_news = texts.len() < TEXTS && !texts.contains_key(text);
        if is_news {
            texts.insert(text.to_owned(), Instant::now());
        }
        is_news
    }

    /// What was said is over, and news when it begins again. Whether anything was said.
    pub(super) fn forget(&self) -> bool {
        !std::mem::take(&mut *self.texts()).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_text_is_said_once_a_minute_until_it_is_over() {
        let said = Said::for_a_minute();
        assert!(said.is_news("a") && said.is_news("b"));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!said.is_news("a") && !said.is_news("b"));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(said.is_news("a") && !said.is_news("a"));
        assert!(said.forget() && said.is_news("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_texts_there_are_only_so_many_are_said() {
        let said = Said::for_good();
        assert_eq!((0..1000).filter(|number| said.is_news(&number.to_string())).count(), TEXTS);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(!said.is_news("1") && !said.is_news("more"));
    }
}
