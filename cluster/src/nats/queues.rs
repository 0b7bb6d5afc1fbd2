//! Queues in JetStream: each subscription is a durable pull consumer on the user's own stream, with explicit acknowledgement.
//!
//! A consumer is named `<namespace>_<function>_<digits>`, the digits standing for the subject, and so it is found again by every
//! revision and every process. Its metadata says for which version of the registry's snapshot it was asked for last: a gateway
//! that lags behind does not remove what a newer revision has asked for.

mod consumer;
mod lease;
mod message;
mod pull;
mod streams;

use std::collections::BTreeSet;

use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use samovar_model::{SubjectPattern, SubscriptionKey};
use tokio::time::timeout;

use self::pull::Pull;
use super::Nats;
use crate::queues::{Queue, QueueError, Queues, Wanted};

/// The messages of streams that are not Samovar's own. Clones share the connection.
#[derive(Clone)]
pub struct NatsQueues {
    nats: Nats,
}

impl NatsQueues {
    /// Over this connection.
    pub fn open(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// The durable name of a subscription.
    pub(super) fn name(&self, key: &SubscriptionKey) -> String {
        format!("{}{}_{}", self.prefix(), key.function, key.digits())
    }

    /// What the names of all of this cluster's consumers begin with. Neither namespaces nor functions have a `_`.
    fn prefix(&self) -> String {
        format!("{}_", self.nats.config().namespace)
    }

    /// Has something done within the time that a commit has, where NATS can be used.
    async fn within<T>(&self, doing: impl Future<Output = Result<T, QueueError>> + Send) -> Result<T, QueueError> {
        let usable = async {
            self.nats.ready().await.map_err(|error| QueueError::Unavailable(error.to_string()))?;
            doing.await
        };
        let late = |_| QueueError::Unavailable("no answer from NATS in time".to_owned());
        timeout(self.nats.config().commit_timeout, usable).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    /// Removes a consumer, unless it was asked for by a newer snapshot than that of `version`. Whether it was there and is gone.
    async fn remove_from(&self, stream: &Stream, name: &str, version: u64) -> Result<bool, QueueError> {
        let Some(info) = find(stream, name).await? else { return Ok(false) };
        if consumer::version(&info) > version {
            return Ok(false);
        }
        match stream.delete_consumer(name).await {
            Ok(_) => {
                tracing::info!(consumer = name, stream = info.stream_name, "a subscription that is no more is removed");
                Ok(true)
            }
            // Another process may have been faster.
            Err(error) => match find(stream, name).await? {
                None => Ok(false),
                Some(_) => Err(unavailable(error)),
            },
        }
    }
}

fn unavailable(error: impl ToString) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

/// A consumer, if it is there.
async fn find(stream: &Stream, name: &str) -> Result<Option<Info>, QueueError> {
    match stream.consumer_info(name).await {
        Ok(info) => Ok(Some(info)),
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => Ok(None),
            _ => Err(unavailable(error)),
        },
    }
}

#[async_trait]
impl Queues for NatsQueues {
    async fn check(&self, subject: &SubjectPattern) -> Result<(), QueueError> {
        self.within(async { streams::of(&self.nats, subject).await.map(drop) }).await
    }

    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Queue>, QueueError> {
        let name = self.name(&wanted.key);
        let consumer = self.within(async {
            let stream = streams::of(&self.nats, &wanted.key.subject).await?;
            consumer::ensure(self.nats.jetstream(), &stream, &name, wanted).await
        });
        Ok(Box::new(Pull::new(&self.nats, consumer.await?)))
    }

    async fn remove(&self, key: &SubscriptionKey, version: u64) -> Result<(), QueueError> {
        let name = self.name(key);
        self.within(async {
            for stream in streams::overlapping(&self.nats, &key.subject).await? {
                if let Some(stream) = streams::find(&self.nats, &stream).await? {
                    self.remove_from(&stream, &name, version).await?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn retain(&self, keys: &BTreeSet<SubscriptionKey>, version: u64) -> Result<usize, QueueError> {
        let (kept, prefix): (BTreeSet<String>, _) = (keys.iter().map(|key| self.name(key)).collect(), self.prefix());
        let names = self.within(async {
            let names: Vec<String> = self.nats.jetstream().stream_names().try_collect().await.map_err(unavailable)?;
            Ok(names.into_iter().filter(|name| !streams::is_own(&self.nats, name)).collect::<Vec<_>>())
        });
        let mut removed = 0;
        for name in names.await? {
            // One stream at a time: there may be many.
            let some = self.within(async {
                let Some(stream) = streams::find(&self.nats, &name).await? else { return Ok(0) };
                let consumers: Vec<String> = stream.consumer_names().try_collect().await.map_err(unavailable)?;
                let mut removed = 0;
                for consumer in consumers.iter().filter(|name| name.starts_with(&prefix) && !kept.contains(*name)) {
                    removed += usize::from(self.remove_from(&stream, consumer, version).await?);
                }
                Ok(removed)
            });
            removed += some.await?;
        }
        Ok(removed)
    }
}
