//! Changes of several messages, put together: what waits while one batch is being stored goes into the next.
//!
//! The server sets up a store of its own for each atomic batch, whatever is in it, which takes it some milliseconds, one batch
//! after the other. If a condition of one of the changes does not hold, each is stored by itself.

use std::collections::HashSet;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::nats::stream::{Messages, NotStored, Part};

/// How many changes may wait.
const WAITING: usize = 256;
/// What one batch may have: the server takes 1000 messages.
const MOST_PARTS: usize = 900;
const MOST_BYTES: usize = 4 << 20;

/// A change that waits, and who waits for it.
struct Waiting {
    parts: Vec<Part>,
    told: oneshot::Sender<Result<u64, NotStored>>,
}

/// The way to the task that stores them. It ends when this is dropped.
pub(super) struct Together {
    queue: mpsc::Sender<Waiting>,
}

/// Changes that are stored as one batch.
#[derive(Default)]
struct Group {
    changes: Vec<Waiting>,
    parts: usize,
    bytes: usize,
    /// The server would look at a condition once for all messages of a subject.
    subjects: HashSet<String>,
}

impl Together {
    pub(super) fn spawn(messages: &Messages) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        tokio::spawn(run(messages.clone(), waiting));
        Self { queue }
    }

    /// Stores all parts, or none; answers the last one's place in the stream. The others are right before it.
    pub(super) async fn publish(&self, parts: Vec<Part>) -> Result<u64, NotStored> {
        let stopped = |_| NotStored::Open("this process is stopping".to_owned());
        let (told, stored) = oneshot::channel();
        if self.queue.send(Waiting { parts, told }).await.is_err() {
            return Err(NotStored::Refused("this process is stopping".to_owned()));
        }
        stored.await.unwrap_or_else(|error| Err(stopped(error)))
    }
}

async fn run(messages: Messages, mut queue: mpsc::Receiver<Waiting>) {
    let mut left = None;
    loop {
        let Some(first) = (match left.take() {
            Some(left) => Some(left),
            None => queue.recv().await,
        }) else {
            return;
        };
        let mut group = Group::default();
        group.add(first);
        while let Ok(next) = queue.try_recv() {
            if group.takes(&next) {
                group.add(next);
            } else {
                left = Some(next);
                break;
            }
        }
        group.store(&messages).await;
    }
}

impl Group {
    fn takes(&self, change: &Waiting) -> bool {
        self.parts + change.parts.len() <= MOST_PARTS
            && self.bytes + bytes(change) <= MOST_BYTES
            && change.parts.iter().all(|part| !self.subjects.contains(&part.subject))
    }

    fn add(&mut self, change: Waiting) {
        self.parts += change.parts.len();
        self.bytes += bytes(&change);
        self.subjects.extend(change.parts.iter().map(|part| part.subject.clone()));
        self.changes.push(change);
    }

    async fn store(self, messages: &Messages) {
        let all = self.changes.iter().flat_map(|change| change.parts.iter().cloned()).collect();
        match messages.publish(all).await {
            Ok(last) => {
                let mut place = last - self.parts as u64;
                for Waiting { parts, told } in self.changes {
                    place += parts.len() as u64;
                    drop(told.send(Ok(place)));
                }
            }
            Err(NotStored::Conflict) if self.changes.len() > 1 => {
                let alone = async |Waiting { parts, told }: Waiting| drop(told.send(messages.publish(parts).await));
                join_all(self.changes.into_iter().map(alone)).await;
            }
            Err(error) => {
                for Waiting { told, .. } in self.changes {
                    drop(told.send(Err(error.clone())));
                }
            }
        }
    }
}

fn bytes(change: &Waiting) -> usize {
    change.parts.iter().map(|part| part.payload.len()).sum()
}
