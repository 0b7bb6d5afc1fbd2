//! The connection to NATS: made once, kept up by the client, checked before it is relied on.
//!
//! States: away (never connected, or lost), refused (a server was reached, which does not let this process in) and connected;
//! the client goes from one to the other by itself, for ever. Before
//! the first use the server's version, JetStream and the buckets are checked, once.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{AccountErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::{self, Context, ErrorCode};
use tokio::sync::{OnceCell, watch};

use super::NatsConfig;
use super::buckets::Buckets;
pub(super) use super::link::Link;
use super::link::{self, LinkState};
use super::servers::Servers;

/// The oldest server that is accepted.
const OLDEST: (i64, i64, i64) = (2, 12, 0);

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
}

impl NatsError {
    /// Whether waiting may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Refused(_) | Self::Store(_))
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
    state: Arc<LinkState>,
    link: watch::Receiver<Link>,
    /// Set once the server and the buckets have been found good.
    checked: OnceCell<()>,
}

impl Nats {
    /// Connects, checks the server, and makes the buckets that are not there. When no server answers within
    /// [`NatsConfig::patience`], goes on without: the client keeps trying, and the checks are made when it succeeds.
    ///
    /// # Errors
    /// When the configuration or the server cannot be used: it refuses the credentials for all that time, is too old, has no
    /// JetStream, or buckets set up differently.
    pub async fn connect(config: NatsConfig) -> Result<Self, NatsError> {
        config.check()?;
        let Servers { addresses, login } = Servers::read(&config.servers)?;
        let buckets = Buckets::of(&config.namespace);
        let state = Arc::new(LinkState::new(&config, login.as_ref(), &buckets));
        let client = link::options(&config, login.as_ref(), state.clone()).await?.connect(addresses).await;
        let client = client.map_err(|error| NatsError::Config(error.to_string()))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(config.answer_timeout);
        let (patience, link, checked) = (config.patience, state.watch(), OnceCell::new());
        let nats = Self { inner: Arc::new(Inner { config, client, jetstream, buckets, state, link, checked }) };
        match tokio::time::timeout(patience, nats.first_check()).await {
            Ok(checked) => checked?,
            Err(_) if matches!(*nats.link().borrow(), Link::Refused(_)) => nats.ready().await?,
            Err(_) => tracing::warn!("NATS is not usable yet: going on without it"),
        }
        Ok(nats)
    }

    /// Tries until the check passes, or cannot.
    async fn first_check(&self) -> Result<(), NatsError> {
        loop {
            match self.ready().await {
                Err(error) if error.is_passing() => tokio::time::sleep(Duration::from_millis(50)).await,
                done => return done,
            }
        }
    }

    /// Whether there is a connection to a server now.
    pub fn is_connected(&self) -> bool {
        matches!(*self.inner.link.borrow(), Link::Connected(_))
    }

    /// Passes when a server is connected that can be used, whose buckets are there.
    ///
    /// # Errors
    /// When it cannot be used, or not now.
    pub async fn ready(&self) -> Result<(), NatsError> {
        match &*self.inner.link.borrow() {
            Link::Away(reason) => return Err(NatsError::Away(reason.clone())),
            Link::Refused(reason) => return Err(NatsError::Refused(reason.clone())),
            Link::Connected(_) => {}
        }
        self.inner.checked.get_or_try_init(|| self.check()).await.copied().map_err(|error| self.told(error))
    }

    /// Adds to the error what may be its cause.
    fn told(&self, error: NatsError) -> NatsError {
        match (error, self.inner.state.violation()) {
            (NatsError::Store(text), Some(violation)) => {
                NatsError::Store(format!("{text}; the server forbids: {}", violation.what))
            }
            (error, _) => error,
        }
    }

    async fn check(&self) -> Result<(), NatsError> {
        let Inner { client, jetstream, buckets, config, .. } = &*self.inner;
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
        buckets.ensure(jetstream, config).await?;
        tracing::info!(version, namespace = config.namespace, "NATS is there");
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
