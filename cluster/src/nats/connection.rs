//! The connection to NATS: made once, kept up by the client, checked before it is relied on.
//!
//! States: away (never connected, or lost), refused (a server was reached, which does not let this process in) and connected;
//! the client goes from one to the other by itself, for ever. Before
//! the first use the server's version, JetStream and the buckets are checked, once.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{AccountErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::{OnceCell, watch};

use super::NatsConfig;
use super::buckets::Buckets;
use super::servers::{Login, Servers};

/// The oldest server that is accepted.
const OLDEST: (i64, i64, i64) = (2, 12, 0);

/// A connection that is silent for this long is asked for a sign of life; after three it counts as lost.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
    #[error(
        "NATS refuses this process ({0}): give it credentials of a user that the server knows, which have not expired or been \
         revoked"
    )]
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

/// Whether there is a connection now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// There is none, for this reason.
    Away(String),
    /// There is none, because the server that was asked last wants other credentials.
    Refused(String),
    /// There is one.
    Connected,
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
        let (tell, link) = watch::channel(Link::Away("not connected yet".to_owned()));
        let Servers { addresses, login } = Servers::read(&config.servers)?;
        let client = options(&config, login.as_ref(), tell).await?.connect(addresses).await;
        let client = client.map_err(|error| NatsError::Config(error.to_string()))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(config.answer_timeout);
        let buckets = Buckets::of(&config.namespace);
        let patience = config.patience;
        let nats =
            Self { inner: Arc::new(Inner { config, client, jetstream, buckets, link, checked: OnceCell::new() }) };
        match tokio::time::timeout(patience, nats.first_check()).await {
            Ok(checked) => checked?,
            Err(_) if matches!(*nats.link().borrow(), Link::Refused(_)) => nats.ready().await?,
            Err(_) => tracing::warn!(state = ?*nats.link().borrow(), "NATS is not usable yet: going on without it"),
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
        *self.inner.link.borrow() == Link::Connected
    }

    /// Passes when a server is connected that can be used, whose buckets are there.
    ///
    /// # Errors
    /// When it cannot be used, or not now.
    pub async fn ready(&self) -> Result<(), NatsError> {
        match &*self.inner.link.borrow() {
            Link::Away(reason) => return Err(NatsError::Away(reason.clone())),
            Link::Refused(reason) => return Err(NatsError::Refused(reason.clone())),
            Link::Connected => {}
        }
        self.inner.checked.get_or_try_init(|| self.check()).await.copied()
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

async fn options(
    config: &NatsConfig,
    login: Option<&Login>,
    tell: watch::Sender<Link>,
) -> Result<ConnectOptions, NatsError> {
    let mut options = match (&config.credentials, login) {
        (None, None) => ConnectOptions::new(),
        (None, Some(login)) => login.add_to(ConnectOptions::new()),
        (Some(file), None) => ConnectOptions::with_credentials_file(file)
            .await
            .map_err(|error| NatsError::Config(format!("credentials file {}: {error}", file.display())))?,
        (Some(file), Some(_)) => {
            let file = file.display();
            let text = format!("a login in the URL and the credentials file {file}: use one of them");
            return Err(NatsError::Config(text));
        }
    };
    if let Some(file) = &config.root_ca {
        options = options.add_root_certificates(file.clone()).require_tls(true);
    }
    if let Some(files) = &config.client_certificate {
        options = options.add_client_certificate(files.certificate.clone(), files.key.clone()).require_tls(true);
    }
    let tell = Arc::new(tell);
    Ok(options
        .name("samovar")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(config.answer_timeout)
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(|attempt| {
            LONGEST_PAUSE
                .min(Duration::from_millis(20) * 2_u32.saturating_pow(u32::try_from(attempt).unwrap_or(8).min(8)))
        })
        .event_callback(move |event| {
            let tell = tell.clone();
            async move { note(&tell, &event) }
        }))
}

/// Takes over what the client tells about its connection. Every new connection is told, other events only if they say more.
fn note(link: &watch::Sender<Link>, event: &Event) {
    link.send_if_modified(|link| match event {
        Event::Connected => {
            *link = Link::Connected;
            true
        }
        Event::ClientError(ClientError::Other(reason)) if *link != Link::Connected && is_refusal(reason) => {
            *link = Link::Refused(reason.clone());
            true
        }
        Event::Disconnected | Event::Closed => {
            *link = Link::Away("the connection was lost".to_owned());
            true
        }
        Event::ClientError(_) | Event::ServerError(_) if *link != Link::Connected => {
            *link = Link::Away(event.to_string());
            true
        }
        _ => false,
    });
}

/// Whether connecting failed because the server did not like the credentials. The client tells this in words alone.
fn is_refusal(reason: &str) -> bool {
    let refusals = [ConnectErrorKind::AuthorizationViolation, ConnectErrorKind::Authentication];
    refusals.iter().any(|refusal| refusal.to_string() == reason)
}

/// Whether a write was refused because the condition it was under did not hold, or may not: a cluster says so with another
/// code while a write to the same subject is under way.
pub(super) fn is_conflict(error: &PublishError) -> bool {
    let reason = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence
        || reason.is_some_and(|reason| reason.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
