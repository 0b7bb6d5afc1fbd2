//! The task that keeps the index up to date with the stream, and with the table of gateways.
//!
//! It works in sessions, like the watcher of tables. A session is told the last message of every open job, and then every new one.
//! Unlike a table's it need not be complete before it is used: every job stands for itself, and is taken by compare-and-set.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use futures_util::StreamExt as _;
use samovar_model::JobId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::store::Store;
use super::stored::{is_gone, standing};
use super::subjects::Kind;
use crate::gateways::GatewayTable;
use crate::nats::NatsError;
use crate::nats::watcher::Failures;

/// How often everything is read again, in case something was missed that nothing told.
const RESYNC: Duration = Duration::from_secs(300);

/// What the task works with.
pub(super) struct Watch {
    pub(super) store: Arc<Store>,
    pub(super) gateways: watch::Receiver<Arc<GatewayTable>>,
}

impl Watch {
    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let nats = self.store.messages.nats.clone();
        let (mut link, mut failures) = (nats.link(), Failures::new());
        let bucket = nats.buckets().jobs.clone();
        while failures.connected(&mut link).await {
            let Err(error) = self.session(&mut failures).await else { continue };
            failures.tell(&bucket, &error);
            failures.rest(&mut link).await;
        }
    }

    async fn session(&mut self, failures: &mut Failures) -> Result<(), NatsError> {
        let nats = self.store.messages.nats.clone();
        nats.ready().await?;
        let mut link = nats.link();
        link.mark_unchanged();
        let (consumer, mut messages) = self.subscribe(failures).await?;
        let mut told = Some(HashSet::new());
        let end = Instant::now() + RESYNC;
        self.meet();
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                Ok(()) = self.gateways.changed() => {
                    self.meet();
                    continue;
                }
                () = tokio::time::sleep_until(end) => return Ok(()),
                _ = link.changed() => return Ok(()),
            };
            let message = message.ok_or_else(|| store("the subscription ended"))?.map_err(store)?;
            let info = message.info().map_err(store)?;
            if info.consumer != consumer {
                // The client has made a new consumer: of a stream that may be another one by now.
                return Ok(());
            }
            let id = self.hear(&message, info.stream_sequence);
            if let (Some(told), Some(id)) = (&mut told, id) {
                told.insert(id);
            }
            if info.pending == 0
                && let Some(told) = told.take()
            {
                self.complete(&told, info.stream_sequence, failures);
            }
        }
    }

    /// Takes which gateways there are now.
    fn meet(&mut self) {
        let table = Arc::clone(&self.gateways.borrow_and_update());
        if self.store.index().meet(&table) {
            self.store.changed.notify_waiters();
        }
    }

    /// Takes a message; answers which job is open by it.
    fn hear(&self, message: &async_nats::jetstream::Message, sequence: u64) -> Option<JobId> {
        let id = self.store.subjects.id(&message.subject)?;
        let headers = message.headers.as_ref()?;
        let standing = standing(headers);
        if standing.is_none() && !is_gone(headers) {
            tracing::error!(job = %id, "a job cannot be read that another version of Samovar may have stored");
        }
        let is_open = standing.is_some();
        self.store.index().hear(id, sequence, standing);
        self.store.changed.notify_waiters();
        is_open.then_some(id)
    }

    /// All has been told that was there up to this sequence.
    fn complete(&self, told: &HashSet<JobId>, up_to: u64, failures: &mut Failures) {
        self.store.index().only(told, up_to);
        if failures.end() {
            tracing::info!("jobs are watched again");
        }
    }

    /// The last message of every open job, then every new one, in order; with the name of the consumer that sends them.
    async fn subscribe(&self, failures: &mut Failures) -> Result<(String, Ordered), NatsError> {
        let nats = &self.store.messages.nats;
        let config = OrderedConfig {
            deliver_subject: nats.client().new_inbox(),
            description: Some("samovar: open jobs".to_owned()),
            filter_subject: self.store.subjects.jobs(Kind::Open).filter,
            deliver_policy: DeliverPolicy::LastPerSubject,
            headers_only: true,
            ..OrderedConfig::default()
        };
        let stream = nats.stream(&nats.buckets().jobs).await?;
        let consumer = stream.create_consumer(config).await.map_err(store)?;
        let info = consumer.cached_info();
        let name = info.name.clone();
        if info.num_pending == 0 {
            // Then nothing will say that it is the last.
            self.complete(&HashSet::new(), stream.cached_info().state.last_sequence, failures);
        }
        Ok((name, consumer.messages().await.map_err(store)?))
    }
}

fn store(error: impl std::fmt::Display) -> NatsError {
    NatsError::Store(error.to_string())
}
