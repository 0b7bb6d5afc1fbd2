//! A host's lease: a key that one run of the host renews, and a later run takes over.
//!
//! States: held (every renewal is a compare-and-set on the one before) and lost (a later run has the key), for good. A
//! renewal that NATS did not answer changes nothing: the next one reads what is there, and goes on from that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use samovar_model::{BootEpoch, HostId, HostIntent, HostRecord, HostReport};

use super::artifacts::newest;
use super::connection::is_conflict;
use super::membership::Tasks;
use super::{Nats, NatsError};
use crate::{Lease, MembershipError};

/// How often joining is tried when others write the same key.
const ATTEMPTS: usize = 5;
/// The pause before a renewal that failed is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// The lease of one run.
pub(super) struct NatsLease {
    key: Key,
    epoch: BootEpoch,
    report: watch::Sender<HostReport>,
    asked: watch::Receiver<HostIntent>,
    held: watch::Receiver<bool>,
    renewal: JoinHandle<()>,
    /// Bring what the host is asked for.
    _watch: Arc<Tasks>,
}

/// Whose key it is.
#[derive(Clone)]
struct Key {
    nats: Nats,
    id: HostId,
}

/// What the key holds.
struct Found {
    /// The sequence of its message; 0 when there is none.
    sequence: u64,
    /// The run that wrote it; absent after a run that left.
    epoch: Option<BootEpoch>,
}

/// Writes a key of the bucket of hosts; if its last message is `expected`, when that is given.
pub(super) async fn put(nats: &Nats, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, PublishError> {
    let mut headers = HeaderMap::new();
    if let Some(expected) = expected {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
    }
    let sent = nats.jetstream().publish_with_headers(nats.buckets().hosts.subject(key), headers, value.into()).await?;
    Ok(sent.await?.sequence)
}

impl Key {
    async fn read(&self) -> Result<Found, NatsError> {
        let hosts = &self.nats.buckets().hosts;
        let stream = self.nats.jetstream().get_stream_no_info(&hosts.stream).await;
        let stream = stream.map_err(|error| NatsError::Store(error.to_string()))?;
        let message = newest(&stream, &hosts.subject(self.id.as_str())).await?;
        Ok(message.map_or(Found { sequence: 0, epoch: None }, |message| {
            let record = serde_json::from_slice::<HostRecord>(&message.payload);
            Found { sequence: message.sequence, epoch: record.ok().map(|record| record.epoch) }
        }))
    }

    async fn write(&self, record: &HostRecord, expected: u64) -> Result<u64, PublishError> {
        let value =
            serde_json::to_vec(record).map_err(|error| PublishError::with_source(PublishErrorKind::Other, error))?;
        put(&self.nats, self.id.as_str(), value, Some(expected)).await
    }
}

impl NatsLease {
    /// Takes the lease from whoever has it.
    pub(super) async fn take(
        nats: &Nats,
        mut host: HostRecord,
        all_asked: watch::Receiver<Arc<BTreeMap<HostId, HostIntent>>>,
        watch: Arc<Tasks>,
    ) -> Result<Self, MembershipError> {
        let unavailable = |error: String| MembershipError::Unavailable(error);
        nats.ready().await.map_err(|error| unavailable(error.to_string()))?;
        let key = Key { nats: nats.clone(), id: host.id.clone() };
        let mut last = 0;
        for attempt in 0..ATTEMPTS {
            let found = key.read().await.map_err(|error| unavailable(error.to_string()))?;
            // After the first attempt: one whose answer was lost.
            let ours = attempt > 0 && found.epoch == Some(host.epoch);
            if let Some(earlier) = found.epoch.filter(|_| !ours) {
                host.epoch = host.epoch.max(BootEpoch(earlier.0 + 1));
            }
            match key.write(&host, found.sequence).await {
                Ok(sequence) => {
                    last = sequence;
                    break;
                }
                Err(error) if attempt + 1 == ATTEMPTS => return Err(unavailable(error.to_string())),
                Err(_) => sleep(PAUSE).await,
            }
        }
        let (report, reported) = watch::channel(host.report.clone());
        let (tell_held, held) = watch::channel(true);
        let (tell_asked, asked) = watch::channel(HostIntent::Ready);
        let epoch = host.epoch;
        let renewal = Renewal { key: key.clone(), host, last, reported, held: tell_held, all_asked, asked: tell_asked };
        Ok(Self { key, epoch, report, asked, held, renewal: tokio::spawn(renewal.run()), _watch: watch })
    }
}

impl Drop for NatsLease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[async_trait]
impl Lease for NatsLease {
    fn epoch(&self) -> BootEpoch {
        self.epoch
    }

    fn report(&self, report: HostReport) {
        self.report.send_replace(report);
    }

    fn asked(&self) -> watch::Receiver<HostIntent> {
        self.asked.clone()
    }

    fn held(&self) -> watch::Receiver<bool> {
        self.held.clone()
    }

    async fn leave(self: Box<Self>) -> Result<(), MembershipError> {
        self.renewal.abort();
        let unavailable = |error: String| MembershipError::Unavailable(error);
        for attempt in 1..=ATTEMPTS {
            let found = self.key.read().await.map_err(|error| unavailable(error.to_string()))?;
            if found.epoch != Some(self.epoch) {
                return Ok(());
            }
            // An empty value is how a host that left looks.
            match put(&self.key.nats, self.key.id.as_str(), Vec::new(), Some(found.sequence)).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => return Err(unavailable(error.to_string())),
                Err(_) => sleep(PAUSE).await,
            }
        }
        Ok(())
    }
}

/// The task that renews.
struct Renewal {
    key: Key,
    host: HostRecord,
    /// The sequence of the last message that this run knows to be its own.
    last: u64,
    reported: watch::Receiver<HostReport>,
    held: watch::Sender<bool>,
    all_asked: watch::Receiver<Arc<BTreeMap<HostId, HostIntent>>>,
    asked: watch::Sender<HostIntent>,
}

impl Renewal {
    async fn run(mut self) {
        let pause = self.key.nats.config().host_renewal;
        let mut next = Instant::now() + pause;
        self.pass_on_asked();
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                Ok(()) = self.all_asked.changed() => {
                    self.pass_on_asked();
                    continue;
                }
                Ok(()) = self.reported.changed() => {
                    let intent = self.reported.borrow_and_update().intent;
                    if intent == self.host.report.intent {
                        continue;
                    }
                }
            }
            self.host.report = self.reported.borrow_and_update().clone();
            next = Instant::now()
                + match self.renew().await {
                    Ok(true) => pause,
                    Ok(false) => {
                        self.held.send_replace(false);
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(host = %self.host.id, %error, "the lease is not renewed");
                        PAUSE.max(pause / 6)
                    }
                };
        }
    }

    fn pass_on_asked(&mut self) {
        let intent = self.all_asked.borrow_and_update().get(&self.host.id).copied().unwrap_or_default();
        self.asked.send_if_modified(|asked| std::mem::replace(asked, intent) != intent);
    }

    /// Renews once; false when a later run has the lease.
    async fn renew(&mut self) -> Result<bool, NatsError> {
        // What is sent while there is no connection would only be sent later.
        self.key.nats.ready().await?;
        match self.key.write(&self.host, self.last).await {
            Ok(sequence) => {
                self.last = sequence;
                Ok(true)
            }
            Err(error) if is_conflict(&error) => {
                let found = self.key.read().await?;
                // A renewal of this run whose answer was lost; or the key is gone, or was put back from a backup.
                self.last = found.sequence;
                if found.epoch.is_some_and(|epoch| epoch > self.host.epoch) {
                    return Ok(false);
                }
                Err(NatsError::Store(error.to_string()))
            }
            Err(error) => Err(NatsError::Store(error.to_string())),
        }
    }
}
