//! A lock that one process at a time holds: a key that only exists while it is held.
//!
//! Taken by creating the key, renewed by compare-and-set, given back by removing it. One that is not renewed expires by the
//! bucket's age, so a holder stops believing in it well before that: two thirds of the expiry after it last asked for what
//! was then granted, whenever the answer came, and whether or not its tasks get to run.

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
    /// The last renewal; absent when the lock may be lost.
    held: watch::Receiver<Option<Held>>,
    renewal: JoinHandle<()>,
}

/// A write of the key.
#[derive(Debug, Clone, Copy)]
struct Held {
    sequence: u64,
    /// When it was asked for, which is before the server counted its age.
    asked: Instant,
}

/// For how long a write is believed in. The last third of its life is for what clocks and scheduling do.
fn believed(nats: &Nats) -> Duration {
    nats.config().lock_expiry * 2 / 3
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
        let (tell, held) = watch::channel(Some(Held { sequence: first, asked }));
        let renewal = tokio::spawn(renew(nats.clone(), subject.clone(), tell));
        Ok(Some(Self { nats: nats.clone(), subject, held, renewal }))
    }

    /// Whether nobody else can have it yet.
    pub(super) fn is_held(&self) -> bool {
        self.held.borrow().is_some_and(|held| held.asked.elapsed() < believed(&self.nats))
    }

    /// Gives the lock back.
    pub(super) async fn release(self) -> Result<(), NatsError> {
        self.renewal.abort();
        let last = *self.held.borrow();
        let Some(Held { sequence: last, .. }) = last else { return Ok(()) };
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
async fn renew(nats: Nats, subject: Arc<str>, tell: watch::Sender<Option<Held>>) {
    let (pause, believed) = (nats.config().lock_expiry / 5, believed(&nats));
    loop {
        tokio::time::sleep(pause).await;
        let Some(held) = *tell.borrow() else { return };
        let (asked, end) = (Instant::now(), held.asked + believed);
        match tokio::time::timeout_at(end, put(&nats, &subject, held.sequence)).await {
            Ok(Ok(sequence)) => {
                tell.send_replace(Some(Held { sequence, asked }));
            }
            // A renewal whose answer was lost makes the next one a conflict: the lock is given up, which is safe.
            Ok(Err(error)) if !is_conflict(&error) && asked < end => {
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
