//! Takes messages from a consumer, as many as there is room for.
//!
//! One pull request is open at a time: for as many messages as the function may take more, until these have come or some seconds
//! have passed. It survives between two calls, so that none is lost when a call is dropped.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

use super::message::delivered;
use super::unavailable;
use crate::nats::Nats;
use crate::nats::connection::Link;
use crate::queues::{Delivered, Fate, Queue, QueueError};

/// How long a pull request stays open. A server that restarts forgets it, and is asked anew after that.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// The messages of one subscription.
pub(super) struct Pull {
    nats: Nats,
    consumer: Consumer<Config>,
    /// The pull request that is open.
    open: Option<Batch>,
    link: watch::Receiver<Link>,
}

impl Pull {
    pub(super) fn new(nats: &Nats, consumer: Consumer<Config>) -> Self {
        Self { nats: nats.clone(), consumer, open: None, link: nats.link() }
    }

    /// What comes next of the request that is open; none when it has ended.
    async fn received(&mut self) -> Result<Option<Message>, QueueError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let next = tokio::select! {
            // What has come is taken first.
            biased;
            next = open.next() => next,
            // On another connection the server does not know of the request.
            _ = self.link.changed() => None,
        };
        match next {
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error)) => {
                self.open = None;
                Err(unavailable(format!("consumer {} gives no more: {error}", self.consumer.cached_info().name)))
            }
            None => {
                self.open = None;
                Ok(None)
            }
        }
    }
}

#[async_trait]
impl Queue for Pull {
    async fn next(&mut self, free: usize) -> Result<Delivered, QueueError> {
        loop {
            if let Some(message) = self.received().await? {
                return delivered(&self.nats, message);
            }
            self.nats.ready().await.map_err(|error| QueueError::Unavailable(error.to_string()))?;
            self.link.mark_unchanged();
            let request = self.consumer.batch().max_messages(free.max(1)).expires(OPEN_FOR);
            self.open = Some(request.messages().await.map_err(unavailable)?);
        }
    }

    async fn close(mut self: Box<Self>) {
        let Some(mut open) = self.open.take() else { return };
        while let Some(Some(Ok(message))) = open.next().now_or_never() {
            let Ok(given) = delivered(&self.nats, message) else { continue };
            if let Err(error) = given.lease.settle(Fate::Again(Duration::ZERO)).await {
                tracing::debug!(%error, place = given.place, "a message that was not worked on is due a little later");
            }
        }
    }
}
