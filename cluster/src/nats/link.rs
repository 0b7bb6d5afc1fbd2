//! The state of the connection, from what the client tells of it; and what is told of that in the log.
//!
//! The client goes from one state to the other by itself, for ever. Why a server cannot be used is told once a minute, what
//! a server forbids once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{ConnectOptions, Event, Server, ServerError};
use tokio::sync::watch;

use super::buckets::Buckets;
use super::said::Said;
use super::servers::{Login, without_login};
use super::trouble::{Means, Violation, is_refused};
use super::{NatsConfig, NatsError};

/// A connection that is silent for this long is asked for a sign of life; after three it counts as lost.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether there is a connection now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// There is none, for this reason.
    Away(String),
    /// There is none, because a server that was asked wants other credentials.
    Refused(String),
    /// There is one: the first of this process has the number 1, the next one 2.
    Connected(u64),
}

/// Takes over what the client tells about its connection.
pub(super) struct LinkState {
    link: watch::Sender<Link>,
    /// How many connections there were.
    connections: AtomicU64,
    /// Whether all servers were tried since the last connection.
    tried: AtomicBool,
    /// Of the servers that cannot be used.
    said: Said,
    forbidden: Said,
    /// What was forbidden last on this connection.
    violation: Mutex<Option<Violation>>,
    means: Means,
    buckets: Buckets,
}

impl LinkState {
    pub(super) fn new(config: &NatsConfig, login: Option<&Login>, buckets: &Buckets) -> Self {
        let servers: Vec<_> = config.servers.iter().map(|server| without_login(server)).collect();
        let unknown = format!("no answer yet from {}: do they run, and are the addresses right?", servers.join(", "));
        Self {
            link: watch::Sender::new(Link::Away(unknown)),
            connections: AtomicU64::new(0),
            tried: AtomicBool::new(false),
            said: Said::for_a_minute(),
            forbidden: Said::for_good(),
            violation: Mutex::default(),
            means: Means::of(config, login),
            buckets: buckets.clone(),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// What the server forbade last on this connection.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.tried.store(false, Relaxed);
                self.said.forget();
                *self.violation.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.link.send_replace(Link::Connected(self.connections.fetch_add(1, Relaxed) + 1));
            }
            Event::Disconnected => self.note_end(Link::Away("the connection was lost".to_owned())),
            // By this process itself.
            Event::Closed => drop(self.link.send_replace(Link::Away("the connection is closed".to_owned()))),
            Event::ServerError(ServerError::Other(text)) => self.note_complaint(text),
            Event::SlowConsumer(_) if self.said.is_news("slow") => {
                tracing::warn!("NATS sends faster than this process reads: messages were dropped, and are read again");
            }
            // Why an attempt failed is known when the next one begins.
            _ => {}
        }
    }

    /// Called before every attempt, with what came of the last one.
    fn note_attempt(&self, servers: &[Server]) {
        if self.tried.swap(true, Relaxed) {
            let reason = self.means.explain_all(servers);
            let refused = servers.iter().any(is_refused);
            self.note_end(if refused { Link::Refused(reason) } else { Link::Away(reason) });
        }
    }

    /// There is no connection, for this reason.
    fn note_end(&self, end: Link) {
        match &end {
            Link::Away(reason) if self.said.is_news(reason) => tracing::warn!(reason, "NATS is away"),
            Link::Refused(reason) if self.said.is_news(reason) => tracing::error!(reason, "NATS refuses this process"),
            _ => {}
        }
        self.link.send_if_modified(|link| {
            let changed = *link != end;
            *link = end;
            changed
        });
    }

    fn note_complaint(&self, text: &str) {
        let Some(violation) = Violation::read(text, &self.buckets) else {
            if self.said.is_news(text) {
                tracing::warn!(reason = text, "the NATS server complains");
            }
            return;
        };
        if self.forbidden.is_news(&violation.what) {
            tracing::error!(
                forbidden = violation.what,
                "the NATS server forbids this member something ({}): give its user the permissions that a member needs",
                violation.meaning
            );
        }
        *self.violation.lock().unwrap_or_else(PoisonError::into_inner) = Some(violation);
    }
}

/// How the client connects, and whom it tells.
pub(super) async fn options(
    config: &NatsConfig,
    login: Option<&Login>,
    state: Arc<LinkState>,
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
    let before_attempts = state.clone();
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
        // It is told what no event tells: which server failed, and how. The choice is left to the client.
        .reconnect_to_server_callback(move |servers, _| {
            before_attempts.note_attempt(&servers);
            std::future::ready(None)
        })
        .event_callback(move |event| {
            state.note(&event);
            std::future::ready(())
        }))
}
