//! A member's lease: a key that one run of the member renews, and a later run takes over.
//!
//! States: wanted (nothing of this run is known to be stored: NATS may be away), held (every renewal is a compare-and-set on
//! the one before) and lost (a later run has the key), for good. A write that NATS did not answer changes nothing: the next
//! step reads what is there, and goes on from that.
//!
//! At its first look a run takes a number above that of any run that it finds, be it one that left. From then on a run with a
//! larger one is later, and has the lease. The key is forgotten a long time after the last write; then numbers go by clocks.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::PublishError;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use samovar_model::BootEpoch;

use super::buckets::Bucket;
use super::connection::Link;
use super::member_table::{Record, Run};
use super::record::newest;
use super::{Nats, NatsError};

/// The header that tells which run left, as JSON: the value of a key whose run left is empty.
const LEFT: &str = "Samovar-Left";
/// How often leaving is tried when a renewal is still under way.
const ATTEMPTS: usize = 5;
/// The pause before something that failed at once is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// The lease of one run, renewed until it is dropped.
pub(super) struct KeptLease<R: Record> {
    key: Key,
    told: watch::Sender<R>,
    epoch: watch::Receiver<BootEpoch>,
    held: watch::Receiver<bool>,
    renewal: AbortOnDropHandle<()>,
}

/// Where the lease is stored.
#[derive(Clone)]
struct Key {
    nats: Nats,
    stream: String,
    subject: String,
}

/// What the key holds.
struct Found {
    /// The sequence of its message; 0 when there is none.
    sequence: u64,
    /// The run that wrote it, if it can be read.
    run: Option<Run>,
    /// Whether that run left.
    left: bool,
}

/// Writes a key; if its last message is `expected`, when that is given.
pub(super) async fn put(
    nats: &Nats,
    subject: &str,
    value: Vec<u8>,
    expected: Option<u64>,
) -> Result<u64, PublishError> {
    let mut headers = HeaderMap::new();
    if let Some(expected) = expected {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
    }
    let sent = nats.jetstream().publish_with_headers(subject.to_owned(), headers, value.into()).await?;
    Ok(sent.await?.sequence)
}

fn store(error: impl std::fmt::Display) -> NatsError {
    NatsError::Store(error.to_string())
}

impl Key {
    async fn read<R: Record>(&self) -> Result<Found, NatsError> {
        let stream = self.nats.jetstream().get_stream_no_info(&self.stream).await.map_err(store)?;
        let message = newest(&stream, &self.subject).await?;
        Ok(message.map_or(Found { sequence: 0, run: None, left: false }, |message| {
            let left = message.payload.is_empty();
            let run = if left {
                message.headers.get(LEFT).and_then(|run| serde_json::from_str(run.as_str()).ok())
            } else {
                serde_json::from_slice::<R>(&message.payload).ok().map(|record| record.run())
            };
            Found { sequence: message.sequence, run, left }
        }))
    }

    /// Writes that the run left, in place of its last message.
    async fn leave(&self, run: Run, expected: u64) -> Result<(), NatsError> {
        let mut headers = HeaderMap::new();
        headers.insert(LEFT, serde_json::to_string(&run).map_err(store)?.as_str());
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
        let sent = self.nats.jetstream().publish_with_headers(self.subject.clone(), headers, Bytes::new()).await;
        sent.map_err(store)?.await.map(drop).map_err(store)
    }

    async fn write(&self, value: Vec<u8>, expected: u64) -> Result<u64, NatsError> {
        put(&self.nats, &self.subject, value, Some(expected)).await.map_err(store)
    }
}

impl<R: Record> KeptLease<R> {
    /// Begins to take the lease from whoever has it.
    pub(super) fn take(nats: &Nats, bucket: &Bucket, record: R) -> Self {
        let subject = bucket.subject(&record.id().to_string());
        let key = Key { nats: nats.clone(), stream: bucket.stream.clone(), subject };
        let (tell_epoch, epoch) = watch::channel(record.run().epoch);
        let (tell_held, held) = watch::channel(true);
        let sent = record.clone();
        let (told, hear) = watch::channel(record);
        let (key_of_task, link) = (key.clone(), nats.link());
        let renewal = Renewal {
            key: key_of_task,
            link,
            told: hear,
            sent,
            decided: false,
            last: None,
            epoch: tell_epoch,
            held: tell_held,
        };
        Self { key, told, epoch, held, renewal: AbortOnDropHandle::new(tokio::spawn(renewal.run())) }
    }

    /// The number of this run: larger than any that had the lease before, once it is taken.
    pub(super) fn epoch(&self) -> watch::Receiver<BootEpoch> {
        self.epoch.clone()
    }

    /// True until a later run has the lease.
    pub(super) fn held(&self) -> watch::Receiver<bool> {
        self.held.clone()
    }

    /// Changes what the next renewal tells.
    pub(super) fn tell(&self, change: impl FnOnce(&mut R)) {
        self.told.send_modify(change);
    }

    /// Ends the lease, if it is this run's.
    pub(super) async fn leave(self) -> Result<(), NatsError> {
        self.renewal.abort();
        let patience = self.key.nats.config().answer_timeout * 2;
        timeout(patience, self.remove()).await.map_err(|_| store("no answer in time"))?
    }

    async fn remove(&self) -> Result<(), NatsError> {
        let own = self.told.borrow().clone().with_epoch(*self.epoch.borrow()).run();
        self.key.nats.ready().await?;
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            let found = self.key.read::<R>().await?;
            if found.run != Some(own) || found.left {
                return Ok(());
            }
            match self.key.leave(own, found.sequence).await {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
            sleep(PAUSE).await;
        }
        refused.map_or(Ok(()), Err)
    }
}

/// The task that takes the lease and renews it.
struct Renewal<R: Record> {
    key: Key,
    link: watch::Receiver<Link>,
    told: watch::Receiver<R>,
    /// What was sent last.
    sent: R,
    /// Whether the run has its number.
    decided: bool,
    /// The sequence of the last message, where this is known and the message is this run's or to be replaced by it.
    last: Option<u64>,
    epoch: watch::Sender<BootEpoch>,
    held: watch::Sender<bool>,
}

impl<R: Record> Renewal<R> {
    async fn run(mut self) {
        let pause = self.key.nats.config().host_renewal;
        loop {
            let next = match self.renew().await {
                Ok(true) => pause,
                Ok(false) => {
                    self.held.send_replace(false);
                    return;
                }
                Err(error) => {
                    tracing::debug!(member = %self.sent.id(), %error, "the lease is not renewed");
                    PAUSE.max(pause / 6)
                }
            };
            self.wait(next).await;
        }
    }

    /// Waits until it is time, or something urgent is to be told, or the connection comes or goes.
    async fn wait(&mut self, pause: Duration) {
        let due = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(due) => return,
                Ok(()) = self.link.changed() => return,
                Ok(()) = self.told.changed() => {
                    if self.sent.is_urgent(&self.told.borrow_and_update()) {
                        return;
                    }
                }
            }
        }
    }

    /// Renews once; false when a later run has the lease.
    async fn renew(&mut self) -> Result<bool, NatsError> {
        // What is sent while there is no connection would only be sent later.
        self.key.nats.ready().await?;
        // If this fails, or breaks off, it is not known what is stored.
        let last = match self.last.take() {
            Some(last) => last,
            None => match self.look().await? {
                Some(last) => last,
                None => return Ok(false),
            },
        };
        self.sent = self.told.borrow_and_update().clone().with_epoch(*self.epoch.borrow());
        let value = serde_json::to_vec(&self.sent).map_err(store)?;
        self.last = Some(self.key.write(value, last).await?);
        Ok(true)
    }

    /// Reads which message is to be replaced; none when a later run has the lease.
    async fn look(&mut self) -> Result<Option<u64>, NatsError> {
        let found = self.key.read::<R>().await?;
        let own = self.told.borrow().clone().with_epoch(*self.epoch.borrow()).run();
        match found.run {
            Some(run) if self.decided && run > own => return Ok(None),
            // Told before it is stored, so that nobody can ask this run for a number that it does not know.
            Some(run) if !self.decided && run.epoch >= own.epoch => {
                self.epoch.send_replace(BootEpoch(run.epoch.0 + 1));
            }
            _ => {}
        }
        self.decided = true;
        Ok(Some(found.sequence))
    }
}
