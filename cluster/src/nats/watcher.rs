//! The task that keeps the registry's table up to date.
//!
//! It works in sessions. A session asks the stream's leader how far the stream is, reads the last message of every subject
//! up to there into a table of its own, swaps that in, and then follows message by message. It ends after 60 s, at a
//! reconnect, at any error, or when a commit finds the table behind; and the next one begins. While NATS is away the table
//! stays as it is. Nothing slow happens here: a watch that is not polled loses its consumer.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::{Info, Stream};
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::connection::Link;
use super::table::{Contents, Table};
use super::{Nats, NatsError};

/// How often everything is read again, in case something was missed that nothing told.
const RESYNC: Duration = Duration::from_secs(60);
/// How long the first part of a session may go without a message.
const SILENCE: Duration = Duration::from_secs(5);
/// The pause after a session that failed.
const PAUSE: Duration = Duration::from_millis(250);

/// What the watcher works with.
pub(super) struct Watcher {
    pub(super) nats: Nats,
    pub(super) table: Arc<Table>,
    /// Called when the table is found behind: the session starts anew.
    pub(super) behind: Arc<Notify>,
}

impl Watcher {
    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        let mut link = self.nats.link();
        loop {
            let connection = link.borrow_and_update().clone();
            if let Link::Away(_) = connection {
                if link.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if let Err(error) = self.session().await {
                tracing::warn!(%error, "the registry's watch ended; it begins again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn session(&self) -> Result<(), NatsError> {
        self.nats.ready().await?;
        let mut link = self.nats.link();
        link.mark_unchanged();
        let name = &self.nats.buckets().functions.stream;
        let stream = self.nats.jetstream().get_stream(name).await.map_err(store)?;
        let mut messages = subscribe(&self.nats, &stream).await?;
        self.take_all(stream.cached_info(), &mut messages).await?;
        let end = Instant::now() + RESYNC;
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = tokio::time::sleep_until(end) => return Ok(()),
                () = self.behind.notified() => return Ok(()),
                _ = link.changed() => {
                    match *link.borrow() {
                        // The table stays; the loop outside waits for the connection.
                        Link::Away(_) | Link::Connected(_) => return Ok(()),
                    }
                }
            };
            let message = next(message)?;
            let (key, sequence) = self.parts(&message)?;
            self.table.advance(key, &message.payload, sequence);
        }
    }

    /// Reads a complete table and swaps it in.
    async fn take_all(&self, info: &Info, messages: &mut Ordered) -> Result<(), NatsError> {
        let end = info.state.last_sequence;
        let mut contents = Contents::default();
        // An empty stream sends nothing, not even that it is empty: the leader's word is the end of the snapshot.
        while contents.version < end {
            let message = timeout(SILENCE, messages.next()).await;
            let message = next(message.map_err(|_| NatsError::Store(format!("no message up to sequence {end}")))?)?;
            let (key, sequence) = self.parts(&message)?;
            contents.take(key, &message.payload, sequence);
        }
        let went_back = self.table.version().is_some_and(|known| end < known) && self.leader_is_behind().await?;
        if went_back {
            tracing::error!(
                known = self.table.version(),
                found = end,
                "the registry in NATS is older than what this process knows: was it restored or lost?"
            );
        }
        self.table.replace(contents, went_back);
        Ok(())
    }

    /// Asks again: between the leader's answer and now, this process may have committed.
    async fn leader_is_behind(&self) -> Result<bool, NatsError> {
        let known = self.table.version();
        let stream = self.nats.jetstream().get_stream(&self.nats.buckets().functions.stream).await.map_err(store)?;
        Ok(known.is_some_and(|known| stream.cached_info().state.last_sequence < known))
    }

    fn parts<'a>(&self, message: &'a async_nats::jetstream::Message) -> Result<(&'a str, u64), NatsError> {
        let sequence = message.info().map_err(|error| NatsError::Store(error.to_string()))?.stream_sequence;
        let key = self.nats.buckets().functions.key(&message.subject);
        let key = key.ok_or_else(|| NatsError::Store(format!("a message of subject {}", message.subject)))?;
        Ok((key, sequence))
    }
}

/// The last message of every subject, then every new one, in order.
async fn subscribe(nats: &Nats, stream: &Stream) -> Result<Ordered, NatsError> {
    let config = OrderedConfig {
        deliver_subject: nats.client().new_inbox(),
        description: Some("samovar: the table of functions".to_owned()),
        filter_subject: nats.buckets().functions.subject(">"),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(store)?;
    consumer.messages().await.map_err(store)
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
