//! Queues: messages that others publish and a server keeps, taken for functions at least once.
//!
//! A subscription has a place in the server: which messages are settled, which are under way, which wait for their next attempt.
//! Any number of processes take messages from the same place, each message one of them at a time under a [`MessageLease`]. A lease
//! that nobody holds any more, after a crash too, makes the message due again.
//!
//! Only a cluster has queues: the messages are in the server that joins it.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use samovar_model::{SubjectPattern, SubscriptionKey};

/// How often a message that is worked on must be [extended](MessageLease::extend): three times before it is due again.
pub const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// Where a subscription begins that has no place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest message that is kept.
    Oldest,
    /// With what is published from now on.
    Now,
    /// With the first that was published at this time or later.
    Since(Timestamp),
}

/// A subscription, to whoever takes its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub key: SubscriptionKey,
    /// Where it begins, if it has no place.
    pub begin: Begin,
    /// The version of the registry's snapshot that has it. A place is not removed by whoever knows only older ones.
    pub version: u64,
    /// Messages that one process has the function work on at once.
    pub concurrency: u32,
}

/// A message, as a function is to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it was published to.
    pub subject: String,
    /// By which it is known where it came from: the publisher's own id, or else where it is kept.
    pub id: String,
    /// Where it came from, as a URI reference.
    pub source: String,
    /// What kind of event it is as long as its headers do not say.
    pub kind: &'static str,
    /// When the server stored it.
    pub time: Timestamp,
    /// Its headers, as they were published.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub data: Bytes,
}

/// A message that is to be worked on now.
pub struct Delivered {
    /// The message.
    pub message: Message,
    /// Where it is kept, for people.
    pub place: String,
    /// Which delivery this is, 1 for the first. Deliveries that a crash cut off count.
    pub attempt: u32,
    /// Messages behind it that nobody has been given.
    pub pending: u64,
    /// The right to work on it.
    pub lease: Box<dyn MessageLease>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It is delivered again, after this long.
    Again(Duration),
    /// It is given up, for this reason.
    Dead(String),
}

/// Why something could not be done. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Messages of the subject are not kept anywhere, or in several places. The text says what to do.
    #[error("{0}")]
    NoStream(String),
    /// The server does not allow it, and trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The server cannot be asked: try again later.
    #[error("the server of queues is not available: {0}")]
    Unavailable(String),
}

/// The server of queues.
#[async_trait]
pub trait Queues: Send + Sync + 'static {
    /// Whether messages of this subject are kept, in one place.
    ///
    /// # Errors
    /// Everything.
    async fn check(&self, subject: &SubjectPattern) -> Result<(), QueueError>;

    /// Makes the place of a subscription, where there is none, and begins to take messages from it.
    ///
    /// # Errors
    /// Everything.
    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Queue>, QueueError>;

    /// Removes the place of a subscription that a snapshot of this version has no more, unless it was asked for by a newer one.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    async fn remove(&self, key: &SubscriptionKey, version: u64) -> Result<(), QueueError>;

    /// Removes the places of all subscriptions but these, which a snapshot of this version has. Answers how many were removed.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    async fn retain(&self, keys: &BTreeSet<SubscriptionKey>, version: u64) -> Result<usize, QueueError>;
}

/// The messages of one subscription.
#[async_trait]
pub trait Queue: Send + 'static {
    /// Waits for a message.
    ///
    /// # Errors
    /// When the place is gone, or cannot be reached. Open it again, after a moment.
    ///
    /// # Backpressure
    /// The server is never asked for more than `free` messages that were not given here yet.
    ///
    /// # Cancel safety
    /// No message is lost by a call that is dropped: the next one gives it.
    async fn next(&mut self, free: usize) -> Result<Delivered, QueueError>;

    /// Takes no more. Messages that were sent here and not given are due at once.
    async fn close(self: Box<Self>);
}

/// The right to work on a message. Nobody else has it for as long as it is extended.
#[async_trait]
pub trait MessageLease: Send + Sync + 'static {
    /// Says that the message is still worked on: every [`EXTEND_EVERY`].
    async fn extend(&self);

    /// Says what becomes of it.
    ///
    /// # Errors
    /// When this could not be stored: the message will be due again.
    async fn settle(self: Box<Self>, fate: Fate) -> Result<(), QueueError>;
}
