//! The connection to NATS: made once, kept up by the client, checked before it is relied on.
//!
//! States: away (never connected, or lost), refused (a server was reached, which does not let this process in), connected, and
//! usable: the server's version, JetStream, the buckets and whose
//! they are were checked. Every new connection is checked before its first use, and again when a bucket turns out to be
//! gone or another cluster's.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{AccountErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context, ErrorCode};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

use super::NatsConfig;
use super::buckets::{Bucket, Buckets, find};
use super::identity::Identity;
pub(super) use super::link::Link;
use super::link::{self, LinkState};
use super::said::Said;
use super::servers::Servers;

/// The oldest server that is accepted.
const OLDEST: (i64, i64, i64) = (2, 12, 0);
/// The pauses between attempts to find NATS usable at the start.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why NATS cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NatsError {
    /// The configuration makes no sense.
    #[error("NATS: {0}")]
    Config(String),
    /// The server lacks what is relied on.
    #[error("NATS server version {0} is too old: Samovar needs 2.12.0 or later; upgrade the server")]
    TooOld(String),
    /// The server has no streams.
    #[error(
        "the NATS server has no JetStream for this account ({0}); start it with `jetstream {{}}` in its configuration"
    )]
    NoJetStream(String),
    /// A stream of this name is set up in another way.
    #[error(
        "stream {stream} is not set up as Samovar needs it ({reason}); use another namespace, or change the stream"
    )]
    Bucket {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A server answers, and does not let this process in: it may later, if somebody changes its accounts.
    #[error("NATS refuses this process: {0}")]
    Refused(String),
    /// No server answers: it may be back later.
    #[error("NATS is away: {0}")]
    Away(String),
    /// A server answers, but not with what was asked for: trying again may help.
    #[error("NATS: {0}")]
    Store(String),
    /// What is in NATS is not the cluster that this process belongs to: nothing is taken from it or written to it, until it
    /// is. The text says what to do.
    #[error("{0}")]
    Identity(String),
}

impl NatsError {
    /// Whether waiting may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Refused(_) | Self::Store(_) | Self::Identity(_))
    }
}

/// A connection to NATS. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Nats {
    inner: Arc<Inner>,
}

struct Inner {
    config: NatsConfig,
    client: Client,
    jetstream: Context,
    buckets: Buckets,
    identity: Identity,
    state: Arc<LinkState>,
    link: watch::Receiver<Link>,
    /// The connection on which everything was found good; 0 where none was.
    good: AtomicU64,
    /// Held during a check: one at a time. What came of the last one if it failed, and when.
    checking: Mutex<Option<(Instant, NatsError)>>,
    /// Of stores that are not this cluster's.
    said: Said,
}

impl Nats {
    /// Connects, checks the server, and makes the buckets where there is no cluster yet. When no server answers within
    /// [`NatsConfig::patience`], goes on without: the client keeps trying, and the checks are made when it succeeds.
    ///
    /// # Errors
    /// When the configuration or the server cannot be used: it refuses the credentials for all that time, is too old, has no
    /// JetStream, or buckets set up differently.
    pub async fn connect(config: NatsConfig) -> Result<Self, NatsError> {
        config.check()?;
        let Servers { addresses, login } = Servers::read(&config.servers)?;
        let identity = Identity::read(config.data_dir.clone()).await?;
        let buckets = Buckets::of(&config.namespace);
        let state = Arc::new(LinkState::new(&config, login.as_ref(), &buckets));
        let client = link::options(&config, login.as_ref(), state.clone()).await?.connect(addresses).await;
        let client = client.map_err(|error| NatsError::Config(error.to_string()))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(config.answer_timeout);
        let (link, good, checking, said) = (state.watch(), AtomicU64::new(0), Mutex::default(), Said::for_a_minute());
        let inner = Inner { config, client, jetstream, buckets, identity, state, link, good, checking, said };
        let nats = Self { inner: Arc::new(inner) };
        let checked = tokio::select! {
            checked = nats.first_check() => Some(checked),
            () = nats.patience_ends() => None,
        };
        match checked {
            Some(checked) => checked?,
            None if matches!(*nats.link().borrow(), Link::Refused(_)) => nats.ready().await?,
            None => tracing::warn!("NATS is not usable yet: going on without it"),
        }
        Ok(nats)
    }

    /// Ends when NATS has been waited for long enough. One that is connected, and has no leader yet or much to do, is waited for
    /// longer than one that is not there: what is on disk is older than what it is about to tell.
    async fn patience_ends(&self) {
        let (patience, away) = (self.config().patience, self.config().away_patience);
        tokio::time::sleep(away.min(patience)).await;
        if self.is_connected() {
            tokio::time::sleep(patience.saturating_sub(away)).await;
        }
    }

    /// Tries until the check passes, or cannot.
    async fn first_check(&self) -> Result<(), NatsError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ready().await {
                Err(NatsError::Away(_) | NatsError::Refused(_)) => tokio::time::sleep(FIRST_PAUSE).await,
                Err(error) if error.is_passing() => {
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
                done => return done,
            }
        }
    }

    /// Whether there is a connection to a server now.
    pub fn is_connected(&self) -> bool {
        matches!(*self.inner.link.borrow(), Link::Connected(_))
    }

    /// Whether there is a connection on which everything was found good.
    pub(super) fn is_usable(&self) -> bool {
        *self.inner.link.borrow() == Link::Connected(self.inner.good.load(Relaxed))
    }

    /// Passes when a server is connected that can be used, and has this cluster's buckets.
    ///
    /// # Errors
    /// When it cannot be used, or not now.
    pub async fn ready(&self) -> Result<(), NatsError> {
        let Inner { link, good, checking, .. } = &*self.inner;
        let current = || match &*link.borrow() {
            Link::Away(reason) => Err(NatsError::Away(reason.clone())),
            Link::Refused(reason) => Err(NatsError::Refused(reason.clone())),
            Link::Connected(number) => Ok(*number),
        };
        if good.load(Relaxed) == current()? {
            return Ok(());
        }
        let asked = Instant::now();
        let mut failed = checking.lock().await;
        let connection = current()?;
        if good.load(Relaxed) == connection {
            return Ok(());
        }
        // Who waited for a check has its outcome.
        if let Some((_, error)) = failed.as_ref().filter(|(when, _)| *when > asked) {
            return Err(error.clone());
        }
        let checked = timeout(self.inner.config.commit_timeout, self.check()).await;
        let late = |_| Err(NatsError::Store("the server does not answer in time".to_owned()));
        if let Err(error) = checked.unwrap_or_else(late) {
            let error = self.told(error);
            *failed = Some((Instant::now(), error.clone()));
            return Err(error);
        }
        good.store(connection, Relaxed);
        self.inner.said.forget();
        Ok(())
    }

    /// Says in the log what an operator must know at once, and adds to the error what may be its cause.
    fn told(&self, error: NatsError) -> NatsError {
        match error {
            NatsError::Identity(text) => {
                if self.inner.said.is_news(&text) {
                    tracing::error!("{text}");
                }
                NatsError::Identity(text)
            }
            NatsError::Store(text) => match self.inner.state.violation() {
                Some(violation) => NatsError::Store(format!("{text}; the server forbids: {}", violation.what)),
                None => NatsError::Store(text),
            },
            error => error,
        }
    }

    /// A bucket's stream, as its leader knows it now.
    ///
    /// # Errors
    /// Where it is not there, which also makes the next use begin with a check.
    pub(super) async fn stream(&self, bucket: &Bucket) -> Result<Stream, NatsError> {
        let stream = find(self.jetstream(), &bucket.stream).await?;
        stream.ok_or_else(|| {
            self.inner.good.store(0, Relaxed);
            NatsError::Store(format!("stream {} is not there", bucket.stream))
        })
    }

    /// The stream of functions, which tells whose everything in NATS is.
    ///
    /// # Errors
    /// Where it is not there, or is not this process's cluster's.
    pub(super) async fn functions(&self) -> Result<Stream, NatsError> {
        let Inner { buckets, identity, good, .. } = &*self.inner;
        let found = find(self.jetstream(), &buckets.functions.stream).await?;
        let own = found.ok_or_else(|| identity.lost(&buckets.functions.stream));
        let own = own.and_then(|stream| identity.accept(stream.cached_info()).map(|_| stream));
        own.map_err(|error| {
            good.store(0, Relaxed);
            self.told(error)
        })
    }

    async fn check(&self) -> Result<(), NatsError> {
        let Inner { client, jetstream, buckets, config, identity, .. } = &*self.inner;
        let version = client.server_info().version;
        if !client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
            return Err(NatsError::TooOld(version));
        }
        jetstream.query_account().await.map_err(|error| match error.kind() {
            AccountErrorKind::JetStreamUnavailable => NatsError::NoJetStream(error.to_string()),
            AccountErrorKind::JetStream(reason)
                if [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT]
                    .contains(&reason.error_code()) =>
            {
                NatsError::NoJetStream(error.to_string())
            }
            // A cluster whose servers have not found each other yet says so in other words.
            _ => NatsError::Store(error.to_string()),
        })?;
        let cluster = buckets.ensure(jetstream, config, identity).await?;
        identity.learn(&cluster).await?;
        tracing::info!(version, namespace = config.namespace, %cluster, "NATS is there");
        Ok(())
    }

    pub(super) fn config(&self) -> &NatsConfig {
        &self.inner.config
    }

    pub(super) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(super) fn jetstream(&self) -> &Context {
        &self.inner.jetstream
    }

    pub(super) fn buckets(&self) -> &Buckets {
        &self.inner.buckets
    }

    /// The state of the connection, and its successors.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.inner.link.clone()
    }
}

/// Whether a write was refused because the condition it was under did not hold, or may not: a cluster says so with another
/// code while a write to the same subject is under way.
pub(super) fn is_conflict(error: &PublishError) -> bool {
    let reason = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence
        || reason.is_some_and(|reason| reason.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
