//! How much there is: of jobs that have ended, and of bytes. NATS knows it, and is asked now and then while somebody wants to know;
//! what this process stores between two answers is added.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use samovar_model::JobState;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::store::Store;
use super::subjects::Kind;
use crate::nats::said::Said;

/// How long an answer is good enough.
const FRESH: Duration = Duration::from_secs(2);
/// The same for the number of jobs that have ended, which is dearer: the server makes a consumer to count.
const COUNT_FRESH: Duration = Duration::from_secs(30);
/// After this long without a request the server forgets what it counted with.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// What is known of it.
#[derive(Default)]
pub(super) struct Usage {
    known: Mutex<Known>,
    wanted: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// What the stream takes.
    pub(super) bytes: u64,
    pub(super) done: u64,
    pub(super) dead: u64,
}

impl Usage {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known by now; it is asked for what is newer.
    pub(super) fn look(&self) -> Known {
        self.wanted.notify_one();
        *self.known()
    }

    /// This process has stored so many bytes.
    pub(super) fn stored(&self, bytes: u64) {
        self.known().bytes += bytes;
    }

    /// This process has ended a job.
    pub(super) fn ended(&self, state: JobState) {
        let mut known = self.known();
        match state {
            JobState::Done => known.done += 1,
            JobState::Dead => known.dead += 1,
            JobState::Queued | JobState::Running | JobState::Waiting => {}
        }
    }
}

/// Asks NATS whenever somebody wants to know, and not too often, until the store is gone.
pub(super) async fn follow(store: Weak<Store>) {
    let (said, mut counted) = (Said::for_a_minute(), None);
    loop {
        let Some(store) = store.upgrade() else { return };
        let is_due = counted.is_none_or(|counted: Instant| counted.elapsed() >= COUNT_FRESH);
        let asked = async {
            ask_bytes(&store).await?;
            if is_due { ask_counts(&store).await } else { Ok(()) }
        };
        match asked.await {
            Ok(()) if is_due => counted = Some(Instant::now()),
            Ok(()) => {}
            Err(error) if said.is_news(&error) => tracing::debug!(error, "how many jobs there are is not known"),
            Err(_) => {}
        }
        sleep(FRESH).await;
        store.usage.wanted.notified().await;
    }
}

async fn ask_bytes(store: &Store) -> Result<(), String> {
    store.messages.nats.ready().await.map_err(|error| error.to_string())?;
    let stream = store.messages.stream().await?;
    let info = stream.get_info().await.map_err(|error| error.to_string())?;
    store.usage.known().bytes = info.state.bytes;
    Ok(())
}

async fn ask_counts(store: &Store) -> Result<(), String> {
    let (done, dead) = tokio::try_join!(count(store, Kind::Done), count(store, Kind::Dead))?;
    let mut known = store.usage.known();
    (known.done, known.dead) = (done, dead);
    Ok(())
}

/// How many messages there are of this kind.
async fn count(store: &Store, kind: Kind) -> Result<u64, String> {
    let config = pull::Config {
        filter_subject: store.subjects.jobs(kind).filter,
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        headers_only: true,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: FORGOTTEN,
        ..pull::Config::default()
    };
    let consumer = store.messages.stream().await?.create_consumer(config).await.map_err(|error| error.to_string())?;
    Ok(consumer.cached_info().num_pending)
}
