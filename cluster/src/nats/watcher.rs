//! The task that keeps a table up to date with a bucket: that of functions, of secrets, of hosts, or of gateways.
//!
//! It works in sessions. A session asks the stream's leader how far the stream is, reads the last message of every subject
//! up to there into a table of its own, swaps that in, and then follows message by message. It ends after 60 s, at a
//! reconnect, at any error, or when someone finds the table behind; and the next one begins. While NATS is away, or what is
//! in it is not this cluster's, the table stays as it is. Nothing slow happens here: a watch that is not polled loses its
//! consumer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::{Info, Stream};
use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::buckets::Bucket;
use super::connection::Link;
use super::said::Said;
use super::{Nats, NatsError};

/// How often everything is read again, in case something was missed that nothing told.
const RESYNC: Duration = Duration::from_secs(60);
/// How long the first part of a session may go without a message.
const SILENCE: Duration = Duration::from_secs(5);
/// The pause after a session that failed; twice as long after each that follows it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One message of a bucket.
pub(super) struct Message<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
    /// Its sequence in the stream.
    pub(super) version: u64,
    /// When the server stored it.
    pub(super) stored: SystemTime,
}

/// A table that follows a bucket.
pub(super) trait Follower: Send + Sync + 'static {
    /// A table that is being read, apart from the one that is shown.
    type Draft: Default + Send;

    /// The version that is shown, once there is one.
    fn version(&self) -> Option<u64>;
    /// Takes a message into the draft.
    fn draft(&self, draft: &mut Self::Draft, message: &Message<'_>);
    /// Takes a complete draft. An older one than what is shown is ignored (it comes from a server that lags), unless the
    /// stream itself has gone back, as after a restore.
    fn replace(&self, draft: Self::Draft, version: u64, stream_went_back: bool);
    /// Takes the next message; one that is known already changes nothing.
    fn advance(&self, message: &Message<'_>);
}

/// What the watcher works with.
pub(super) struct Watcher<T> {
    pub(super) nats: Nats,
    pub(super) bucket: Bucket,
    pub(super) table: Arc<T>,
    /// Called when the table is found behind: the session starts anew.
    pub(super) behind: Arc<Notify>,
}

impl<T: Follower> Watcher<T> {
    /// A watcher of a table that nobody else finds behind.
    pub(super) fn new(nats: &Nats, bucket: &Bucket, table: Arc<T>) -> Self {
        Self { nats: nats.clone(), bucket: bucket.clone(), table, behind: Arc::default() }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        let mut link = self.nats.link();
        let mut failures = Failures::new();
        while failures.connected(&mut link).await {
            let Err(error) = self.session(&mut failures).await else { continue };
            failures.tell(&self.bucket, &error);
            failures.rest(&mut link).await;
        }
    }

    async fn session(&self, failures: &mut Failures) -> Result<(), NatsError> {
        self.nats.ready().await?;
        let mut link = self.nats.link();
        link.mark_unchanged();
        let stream = self.nats.stream(&self.bucket).await?;
        let (consumer, mut messages) = self.subscribe(&stream).await?;
        self.take_all(stream.cached_info(), &mut messages).await?;
        if failures.end() {
            tracing::info!(bucket = self.bucket.name, "the watch goes on");
        }
        let end = Instant::now() + RESYNC;
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = tokio::time::sleep_until(end) => return Ok(()),
                () = self.behind.notified() => return Ok(()),
                // The table stays as it is; the loop outside waits for a connection.
                _ = link.changed() => return Ok(()),
            };
            let message = next(message)?;
            if message.info().map_err(store)?.consumer != consumer {
                // The client has made a new consumer: of a stream that may be another one by now.
                return Ok(());
            }
            self.table.advance(&self.read(&message)?);
        }
    }

    /// Reads a complete table and swaps it in.
    async fn take_all(&self, info: &Info, messages: &mut Ordered) -> Result<(), NatsError> {
        let end = info.state.last_sequence;
        let (mut draft, mut version) = (T::Draft::default(), 0);
        // An empty stream sends nothing, not even that it is empty: the leader's word is the end of the snapshot.
        while version < end && info.state.messages > 0 {
            let message = timeout(SILENCE, messages.next()).await;
            let message = next(message.map_err(|_| NatsError::Store(format!("no message up to sequence {end}")))?)?;
            let message = self.read(&message)?;
            self.table.draft(&mut draft, &message);
            version = message.version;
        }
        let went_back = self.table.version().is_some_and(|known| end < known) && self.leader_is_behind().await?;
        // At the end, since what was read may have been put in another's place before it was read.
        self.nats.functions().await?;
        if went_back {
            tracing::error!(
                bucket = self.bucket.name,
                known = self.table.version(),
                found = end,
                "what is in NATS is older than what this process knows: it was restored from a backup, and is taken over"
            );
        }
        self.table.replace(draft, version.max(end), went_back);
        Ok(())
    }

    /// Asks again: between the leader's answer and now, this process may have committed.
    async fn leader_is_behind(&self) -> Result<bool, NatsError> {
        let known = self.table.version();
        let stream = self.nats.stream(&self.bucket).await?;
        Ok(known.is_some_and(|known| stream.cached_info().state.last_sequence < known))
    }

    fn read<'a>(&self, message: &'a async_nats::jetstream::Message) -> Result<Message<'a>, NatsError> {
        let info = message.info().map_err(store)?;
        let key = self.bucket.key(&message.subject);
        let key = key.ok_or_else(|| NatsError::Store(format!("a message of subject {}", message.subject)))?;
        Ok(Message { key, value: &message.payload, version: info.stream_sequence, stored: info.published.into() })
    }

    /// The last message of every subject, then every new one, in order; and the name of the consumer that sends them.
    async fn subscribe(&self, stream: &Stream) -> Result<(String, Ordered), NatsError> {
        let config = OrderedConfig {
            deliver_subject: self.nats.client().new_inbox(),
            description: Some(format!("samovar: the table of {}", self.bucket.name)),
            filter_subject: self.bucket.subject(">"),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(store)?;
        let name = consumer.cached_info().name.clone();
        Ok((name, consumer.messages().await.map_err(store)?))
    }
}

/// Sessions that failed, one after the other.
pub(super) struct Failures {
    pause: Duration,
    said: Said,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self { pause: FIRST_PAUSE, said: Said::for_a_minute() }
    }

    /// Waits for a connection: what failed over the last one says nothing of the next. False when there will be none any more.
    pub(super) async fn connected(&mut self, link: &mut watch::Receiver<Link>) -> bool {
        while !matches!(*link.borrow_and_update(), Link::Connected(_)) {
            self.end();
            if link.changed().await.is_err() {
                return false;
            }
        }
        link.has_changed().is_ok()
    }

    /// Waits before the next session, or until the connection is another one.
    pub(super) async fn rest(&mut self, link: &mut watch::Receiver<Link>) {
        if let Ok(Ok(())) = tokio::time::timeout(self.pause(), link.changed()).await {
            self.end();
        }
    }

    pub(super) fn tell(&self, bucket: &Bucket, error: &NatsError) {
        // That the store is another's is told once for all buckets, where it is found.
        if !matches!(error, NatsError::Identity(_)) && self.said.is_news(&error.to_string()) {
            tracing::warn!(bucket = bucket.name, %error, "the watch failed: the table stays as it is, and it is tried again");
        }
    }

    /// How long to wait now.
    fn pause(&mut self) -> Duration {
        let longer = LONGEST_PAUSE.min(self.pause * 2);
        std::mem::replace(&mut self.pause, longer)
    }

    /// They are over. Whether any was told.
    pub(super) fn end(&mut self) -> bool {
        self.pause = FIRST_PAUSE;
        self.said.forget()
    }
}

fn next<M, E: std::fmt::Display>(message: Option<Result<M, E>>) -> Result<M, NatsError> {
    match message {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(store(error)),
        None => Err(NatsError::Store("the subscription ended".to_owned())),
    }
}

fn store(error: impl std::fmt::Display) -> NatsError {
    NatsError::Store(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_begin_anew_after_a_success() {
        let mut failures = Failures::new();
        let pauses: Vec<_> = (0..7).map(|_| failures.pause().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        failures.end();
        assert_eq!(failures.pause(), FIRST_PAUSE);
    }
}
