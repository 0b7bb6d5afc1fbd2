//! A lock that one process at a time holds: a key that only exists while it is held.
//!
//! Taken by creating the key, renewed by compare-and-set, given back by removing it. One that is not renewed expires by the
//! bucket's age, so a holder that lost NATS stops believing in it well before that.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::PublishError;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connection::is_conflict;
use super::{Nats, NatsError};

/// A lock that is held. Dropped without [`Lock::release`], it expires.
pub(super) struct Lock {
    nats: Nats,
    subject: Arc<str>,
    /// The sequence of the last renewal; absent when the lock may be lost.
    held: watch::Receiver<Option<u64>>,
    renewal: JoinHandle<()>,
}

impl Lock {
    /// Takes the lock, unless another holds it.
    pub(super) async fn take(nats: &Nats, key: &str) -> Result<Option<Self>, NatsError> {
        nats.ready().await?;
        let subject: Arc<str> = nats.buckets().locks.subject(key).into();
        let asked = Instant::now();
        let first = match put(nats, &subject, 0).await {
            Ok(sequence) => sequence,
            Err(error) if is_conflict(&error) => return Ok(None),
            Err(error) => return Err(store(error)),
        };
        let (tell, held) = watch::channel(Some(first));
        let renewal = tokio::spawn(renew(nats.clone(), subject.clone(), asked, tell));
        Ok(Some(Self { nats: nats.clone(), subject, held, renewal }))
    }

    /// Whether nobody else can have it yet.
    pub(super) fn is_held(&self) -> bool {
        self.held.borrow().is_some()
    }

    /// Gives the lock back.
    pub(super) async fn release(self) -> Result<(), NatsError> {
        self.renewal.abort();
        let last = *self.held.borrow();
        let Some(last) = last else { return Ok(()) };
        let stream = self.nats.jetstream().get_stream_no_info(&self.nats.buckets().locks.stream).await;
        // Only what this holder wrote: if the lock is another's by now, nothing is removed.
        let purge = stream.map_err(store)?.purge().filter(&*self.subject).sequence(last + 1).await;
        purge.map(drop).map_err(store)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews the lock until it is lost, or may be.
async fn renew(nats: Nats, subject: Arc<str>, mut renewed: Instant, tell: watch::Sender<Option<u64>>) {
    let expiry = nats.config().lock_expiry;
    // Two thirds are believed in; the last third is for what clocks and scheduling do.
    let (pause, believed) = (expiry / 5, expiry * 2 / 3);
    loop {
        tokio::time::sleep(pause).await;
        let Some(last) = *tell.borrow() else { return };
        let asked = Instant::now();
        match tokio::time::timeout_at(renewed + believed, put(&nats, &subject, last)).await {
            Ok(Ok(sequence)) => {
                renewed = asked;
                tell.send_replace(Some(sequence));
            }
            // A renewal whose answer was lost makes the next one a conflict: the lock is given up, which is safe.
            Ok(Err(error)) if !is_conflict(&error) && asked < renewed + believed => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(Err(_)) | Err(_) => {
                tell.send_replace(None);
                return;
            }
        }
    }
}

async fn put(nats: &Nats, subject: &str, last: u64) -> Result<u64, PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string().as_str());
    let sent = nats.jetstream().publish_with_headers(subject.to_owned(), headers, Bytes::new()).await?;
    Ok(sent.await?.sequence)
}

fn store(error: impl std::fmt::Display) -> NatsError {
    NatsError::Store(format!("lock: {error}"))
}
