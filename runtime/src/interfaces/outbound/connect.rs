//! Connections to destinations: a name is resolved once, each address it stands for is looked at, and only those that passed are
//! connected to. A connection that is pooled has gone through this, so that a request which finds one need not.
//!
//! How long connecting may take differs from request to request, and is told to the connector by the task that asks ([`Asked`]).

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::address::is_public;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Names that are looked up at once: each takes a thread for as long as its name server likes.
const MAX_LOOKUPS: usize = 64;
/// The same for one function, so that one whose name servers are silent leaves room for the others.
pub(super) const MAX_LOOKUPS_EACH: usize = 8;

/// How long connecting may take where nobody says.
const DEFAULT_WITHIN: Duration = Duration::from_secs(60);

/// Why there is no connection, where that is not the network's own error.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("`{host}` is at {address}, which is not a public address")]
    Private { host: String, address: IpAddr },
    #[error("`{0}` cannot be looked up: {1}")]
    Lookup(String, io::Error),
    #[error("`{0}` has no address")]
    NoAddress(String),
    #[error("looking `{0}` up took too long")]
    LookupTimeout(String),
    #[error("connecting took too long")]
    Timeout,
}

tokio::task_local! {
    /// What the request that is being polled asks of a connection made for it.
    static ASKED: Asked;
}

/// What a request asks of a connection, and what it learns of it.
#[derive(Clone)]
pub(super) struct Asked {
    within: Duration,
    /// The function's share of the lookups.
    lookups: Arc<Semaphore>,
    progress: Arc<Progress>,
}

/// How far connecting is.
#[derive(Default)]
pub(super) struct Progress {
    begun: OnceLock<()>,
    connected: OnceLock<Instant>,
}

impl Progress {
    /// Whether a connection is being made; otherwise there was one.
    pub(super) fn is_connecting(&self) -> bool {
        self.begun.get().is_some() && self.connected.get().is_none()
    }

    /// When a connection was made.
    pub(super) fn connected(&self) -> Option<Instant> {
        self.connected.get().copied()
    }
}

impl Asked {
    /// Runs a request whose connection may take this long, of a function that has this share of the lookups.
    pub(super) fn scope<F: Future>(
        within: Duration,
        lookups: Arc<Semaphore>,
        request: F,
    ) -> (Arc<Progress>, impl Future<Output = F::Output> + use<F>) {
        let progress = Arc::<Progress>::default();
        let asked = Self { within, lookups, progress: Arc::clone(&progress) };
        (progress, ASKED.scope(asked, request))
    }
}

/// Makes connections in the time that they may take, with TLS where the scheme wants it.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<Checked>);

impl Connector {
    pub(super) fn new(tls: rustls::ClientConfig, allow_private: bool) -> Self {
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self(https.enable_all_versions().wrap_connector(Checked::new(allow_private)))
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<Checked> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let asked = ASKED.try_with(Clone::clone).ok();
        let within = asked.as_ref().map_or(DEFAULT_WITHIN, |asked| asked.within);
        if let Some(asked) = &asked {
            asked.progress.begun.get_or_init(|| ());
        }
        let connecting = self.0.call(to);
        Box::pin(async move {
            let connected =
                timeout_at(Instant::now() + within, connecting).await.unwrap_or(Err(ConnectError::Timeout.into()));
            if let Some(asked) = asked {
                // More than one connection may be made for a request that is sent anew: the first one counts.
                asked.progress.connected.get_or_init(Instant::now);
            }
            connected
        })
    }
}

/// Connects to addresses that are allowed, and to no others.
#[derive(Clone)]
pub(super) struct Checked {
    http: HttpConnector<Resolver>,
    allow_private: bool,
}

impl Checked {
    fn new(allow_private: bool) -> Self {
        let lookups = Arc::new(Semaphore::new(MAX_LOOKUPS));
        let mut http = HttpConnector::new_with_resolver(Resolver { allow_private, lookups });
        http.enforce_http(false);
        http.set_nodelay(true);
        Self { http, allow_private }
    }
}

impl Service<Uri> for Checked {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // An address is not looked up. Whatever is not one in its plain spelling is a name, and comes by the resolver.
        if let Some(address) = literal(&to).filter(|address| !self.allow_private && !is_public(*address)) {
            let host = to.host().unwrap_or_default().to_owned();
            return Box::pin(async move { Err(ConnectError::Private { host, address }.into()) });
        }
        let connecting = self.http.call(to);
        Box::pin(async move { Ok(connecting.await?) })
    }
}

/// The address that a URI has in place of a name.
pub(super) fn literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Looks names up, and leaves out addresses that may not be connected to.
#[derive(Clone)]
pub(super) struct Resolver {
    allow_private: bool,
    lookups: Arc<Semaphore>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asked = ASKED.try_with(Clone::clone).ok();
        let within = asked.as_ref().map_or(DEFAULT_WITHIN, |asked| asked.within);
        let (host, allow_private) = (name.as_str().to_owned(), self.allow_private);
        let lookup = lookup(asked.map(|asked| asked.lookups), Arc::clone(&self.lookups), host.clone());
        Box::pin(async move {
            let found = timeout_at(Instant::now() + within, lookup).await;
            let found = found.map_err(|_| ConnectError::LookupTimeout(host.clone()))?;
            allowed(host, found?, allow_private)
        })
    }
}

/// Those of a name's addresses that may be connected to.
fn allowed(
    host: String,
    mut found: Vec<SocketAddr>,
    allow_private: bool,
) -> Result<std::vec::IntoIter<SocketAddr>, ConnectError> {
    let Some(first) = found.first().map(SocketAddr::ip) else { return Err(ConnectError::NoAddress(host)) };
    found.retain(|address| allow_private || is_public(address.ip()));
    if found.is_empty() { Err(ConnectError::Private { host, address: first }) } else { Ok(found.into_iter()) }
}

async fn lookup(
    own: Option<Arc<Semaphore>>,
    all: Arc<Semaphore>,
    host: String,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let mut places = Vec::with_capacity(2);
    // The function's own first: whoever waits for that keeps no place from others.
    for lookups in own.into_iter().chain([all]) {
        places.push(lookups.acquire_owned().await.expect("the semaphore is never closed"));
    }
    let found = tokio::task::spawn_blocking(move || {
        // The system cannot be told to stop looking, so the places are kept even when nobody waits any more.
        let _places = places;
        let found = (host.as_str(), 0).to_socket_addrs();
        found.map(Iterator::collect).map_err(|error| ConnectError::Lookup(host, error))
    });
    found.await.unwrap_or_else(|error| Err(ConnectError::Lookup(String::new(), io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(host: &str, addresses: &[&str]) -> Result<Vec<String>, String> {
        let found = addresses.iter().map(|address| SocketAddr::new(address.parse().expect(address), 0)).collect();
        let allowed = allowed(host.to_owned(), found, false).map_err(|error| error.to_string())?;
        Ok(allowed.map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn of_several_addresses_only_public_ones_are_connected_to() {
        assert_eq!(resolved("a", &["10.0.0.1", "8.8.8.8", "::1"]), Ok(vec!["8.8.8.8".to_owned()]));
        let error = "`rebound.example` is at 127.0.0.1, which is not a public address".to_owned();
        assert_eq!(resolved("rebound.example", &["127.0.0.1", "::1"]), Err(error));
        assert_eq!(resolved("a", &[]), Err("`a` has no address".to_owned()));
    }

    #[test]
    fn addresses_are_told_from_names_by_their_plain_spelling() {
        let literal = |uri: &str| literal(&uri.parse().expect(uri)).map(|address| address.to_string());
        assert_eq!(literal("http://127.0.0.1:80/").as_deref(), Some("127.0.0.1"));
        assert_eq!(literal("http://[::ffff:10.0.0.1]/").as_deref(), Some("::ffff:10.0.0.1"));
        for name in ["http://127.1/", "http://0x7f.0.0.1/", "http://2130706433/", "http://0177.0.0.1/", "http://a.b/"] {
            assert_eq!(literal(name), None, "{name}");
        }
    }

    #[tokio::test]
    async fn a_function_that_has_used_up_its_share_of_lookups_waits_and_keeps_no_place_from_others() {
        let all = Arc::new(Semaphore::new(2));
        let mut resolver = Resolver { allow_private: true, lookups: Arc::clone(&all) };
        let mut look = |own: &Arc<Semaphore>| {
            let name = "localhost".parse().expect("a name");
            let within = Duration::from_millis(200);
            ASKED.sync_scope(Asked { within, lookups: Arc::clone(own), progress: Arc::default() }, || {
                resolver.call(name)
            })
        };
        let (used_up, free) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1)));
        let waits = look(&used_up).await;
        assert!(matches!(waits, Err(ConnectError::LookupTimeout(_))), "{:?}", waits.map(Iterator::count));
        assert_eq!(all.available_permits(), 2);
        assert!(look(&free).await.is_ok_and(|found| found.count() > 0));
    }

    #[tokio::test]
    async fn odd_spellings_of_an_address_are_looked_at_as_what_they_stand_for() {
        for host in ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "0x7f000001", "localhost"] {
            let uri: Uri = format!("http://{host}:1/").parse().expect(host);
            let error = Checked::new(false).call(uri).await.expect_err(host);
            let mut cause = Some(&*error as &(dyn std::error::Error + 'static));
            while let Some(error) = cause.filter(|error| !error.is::<ConnectError>()) {
                cause = error.source();
            }
            let found = cause.and_then(|cause| cause.downcast_ref());
            let is_private = matches!(found, Some(ConnectError::Private { address, .. }) if address.is_loopback());
            assert!(is_private, "{host}: {error:?}");
        }
    }
}
