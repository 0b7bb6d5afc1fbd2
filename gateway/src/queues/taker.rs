//! Takes the messages of one subscription, as many at once as its function may run.
//!
//! States: opening (the place is made or found, again and again where that fails), taking. Any trouble leads back to opening.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use samovar_cluster::queues::{Begin, Wanted};
use samovar_cluster::{Queue, QueueError, Queues};
use samovar_model::{JobSettings, SubscriptionKey};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counts::Count;
use super::seldom::Seldom;
use super::worker::Worker;
use crate::Gateway;
use crate::dispatcher::Dispatcher;

/// The pause after trouble that may pass by itself, and after such as somebody has to mend.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(5);

/// A subscription whose messages are taken.
pub(super) struct Source {
    pub(super) key: SubscriptionKey,
    pub(super) path: String,
    /// How its messages are worked on.
    pub(super) terms: JobSettings,
    /// Whether it begins with the oldest message.
    pub(super) from_oldest: bool,
    /// From when on messages count otherwise.
    pub(super) since: Timestamp,
    /// The version of the snapshot that has it.
    pub(super) version: u64,
    pub(super) counts: Arc<Count>,
    /// Lets through what is said of a server that cannot be reached.
    pub(super) away: Arc<Seldom>,
}

/// Takes messages until `stop`, and has them worked on in `tasks`.
pub(super) async fn take<D: Dispatcher>(
    gateway: Gateway<D>,
    queues: Arc<dyn Queues>,
    source: Arc<Source>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let at_once = usize::try_from(source.terms.concurrency).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let worker = Arc::new(Worker::new(gateway, Arc::clone(&source), stop.clone()));
    let begin = if source.from_oldest { Begin::Oldest } else { Begin::Since(source.since) };
    let taker = Taker { source, places: Arc::new(Semaphore::new(at_once)), worker, tasks };
    taker.run(&*queues, begin, &stop).await;
}

struct Taker<D: Dispatcher> {
    source: Arc<Source>,
    /// For the messages that are worked on.
    places: Arc<Semaphore>,
    worker: Arc<Worker<D>>,
    tasks: TaskTracker,
}

impl<D: Dispatcher> Taker<D> {
    async fn run(&self, queues: &dyn Queues, mut begin: Begin, stop: &CancellationToken) {
        let mut trouble = Trouble { source: &self.source, told: None };
        loop {
            let opened = stop.run_until_cancelled(self.open(queues, begin, &mut trouble)).await;
            let Some(mut queue) = opened else { return };
            let since = Instant::now();
            let ended = stop.run_until_cancelled(self.take_from(&mut *queue, &mut trouble)).await;
            queue.close().await;
            let Some(error) = ended else { return };
            // If its place was lost, it goes on with what comes from now on: what was there before has been seen, or was discarded.
            begin = Begin::Since(Timestamp::now());
            if since.elapsed() >= LATER {
                // It was well until now.
                trouble.told = None;
                continue;
            }
            trouble.tell(error);
            if stop.run_until_cancelled(tokio::time::sleep(SOON)).await.is_none() {
                return;
            }
        }
    }

    /// Opens the place, however long that takes.
    async fn open(&self, queues: &dyn Queues, begin: Begin, trouble: &mut Trouble<'_>) -> Box<dyn Queue> {
        let Source { key, version, terms, .. } = &*self.source;
        let wanted = Wanted { key: key.clone(), begin, version: *version, concurrency: terms.concurrency };
        loop {
            let error = match queues.open(&wanted).await {
                Ok(queue) => return queue,
                Err(error) => error,
            };
            let pause = if let QueueError::Unavailable(_) = error { SOON } else { LATER };
            trouble.tell(error);
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes messages for as long as they come. Answers why they do not.
    ///
    /// # Cancel safety
    /// No message is lost by dropping the future: one that has come is worked on, others are still in `queue`.
    async fn take_from(&self, queue: &mut dyn Queue, trouble: &mut Trouble<'_>) -> QueueError {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
            let delivered = match queue.next(self.places.available_permits() + 1).await {
                Ok(delivered) => delivered,
                Err(error) => return error,
            };
            trouble.is_over();
            self.source.counts.pending.store(delivered.pending, Relaxed);
            let worker = Arc::clone(&self.worker);
            self.tasks.spawn(async move {
                worker.work(delivered).await;
                drop(place);
            });
        }
    }
}

/// What is told of messages that are not taken: each trouble once, and its end.
struct Trouble<'s> {
    source: &'s Source,
    told: Option<QueueError>,
}

impl Trouble<'_> {
    fn tell(&mut self, error: QueueError) {
        let SubscriptionKey { function, subject } = &self.source.key;
        if let QueueError::Unavailable(_) = error {
            // All subscriptions meet this at the same time.
            if let Some(left_out) = self.source.away.now() {
                tracing::warn!(%error, %function, %subject, left_out, "messages are not taken");
            }
        } else if self.told.as_ref() != Some(&error) {
            tracing::warn!(%error, %function, %subject, "messages are not taken");
            self.told = Some(error);
        }
    }

    fn is_over(&mut self) {
        if self.told.take().is_some() {
            let SubscriptionKey { function, subject } = &self.source.key;
            tracing::info!(%function, %subject, "messages are taken again");
        }
    }
}
