//! A request's way through the gateway: [`Gateway::answer`] is the page to read.
//!
//! ```text
//! answer -> check the head -> route -> dispatch to a host -> stream the answer
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use samovar_cluster::Snapshot;
use samovar_model::{Fault, RequestId, headers};
use tokio::sync::watch;

use crate::config::GatewayConfig;
use crate::connection::{Connection, InFlight};
use crate::dispatcher::Dispatcher;
use crate::problem::{Problem, Refusal};
use crate::routes::{Found, RouteTable};
use crate::stats::Stats;

/// A gateway. Cheap to clone.
pub struct Gateway<D: Dispatcher>(Arc<Inner<D>>);

pub(crate) struct Inner<D: Dispatcher> {
    pub(crate) config: GatewayConfig,
    dispatcher: D,
    routes: ArcSwap<RouteTable<D::Target>>,
    /// The version of the snapshot that `routes` was made from.
    routed: watch::Sender<u64>,
    pub(crate) stats: Arc<Stats>,
}

impl<D: Dispatcher> Clone for Gateway<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dispatcher> Gateway<D> {
    /// A gateway without routes.
    pub fn new(config: GatewayConfig, dispatcher: D) -> Self {
        let routes = ArcSwap::from_pointee(RouteTable::default());
        let (routed, _) = watch::channel(0);
        Self(Arc::new(Inner { config, dispatcher, routes, routed, stats: Arc::default() }))
    }

    pub(crate) fn inner(&self) -> &Inner<D> {
        &self.0
    }

    /// Routes by this snapshot from now on. Requests that are under way stay with the revision they began with.
    pub fn apply(&self, snapshot: &Snapshot) {
        let routes = snapshot.functions.values().flat_map(|function| {
            let revision = function.current();
            let target = self.0.dispatcher.target(&function.name, revision, snapshot.version);
            let to = move |route: &samovar_model::Route| match route.sticky {
                true => self.0.dispatcher.sticky(target.clone()),
                false => target.clone(),
            };
            revision.settings.routes.iter().map(move |route| (route, to(route)))
        });
        self.0.routes.store(Arc::new(RouteTable::new(routes)));
        self.0.routed.send_replace(snapshot.version);
    }

    /// Applies each new snapshot, until the registry is gone.
    pub async fn follow(&self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            // The one that the gateway was started with has been applied.
            if snapshot.version != *self.0.routed.borrow() {
                self.apply(&snapshot);
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// The version of the snapshot by which requests are routed, and its successors.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.0.routed.subscribe()
    }

    /// Waits until requests are routed by the snapshot of this version, or a newer one.
    pub async fn routed(&self, version: u64) {
        let mut routed = self.0.routed.subscribe();
        // The sender lives as long as the gateway.
        drop(routed.wait_for(|routed| *routed >= version).await);
    }

    /// Appends the gateway's own metrics in Prometheus' text form.
    pub fn metrics(&self, out: &mut String) {
        self.0.stats.write(out);
    }

    /// Answers one request of a connection. It is checked and routed by the call, so that the future stays small.
    pub(crate) fn answer(
        &self,
        connection: &Arc<Connection>,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody<D::Body>>, Infallible>> + Send + use<D> {
        let in_flight = connection.begin();
        let id = request_id(request.headers());
        let checked = check(&self.0.config, &request);
        let routed = checked.and_then(|host| Ok((self.route(host, &request)?, connection.forwarded(host))));
        let dispatched = match routed {
            Ok((target, forwarded)) => {
                prepare(request.headers_mut(), forwarded, &id);
                Ok(self.0.dispatcher.dispatch(target, request, id.clone()))
            }
            Err(refusal) => Err(refusal),
        };
        async move {
            let answer = match dispatched {
                Ok(answer) => answer.await.map_err(Problem::from),
                Err(refusal) => Err(Problem::from(refusal)),
            };
            Ok(match answer {
                Ok(mut response) => {
                    response.headers_mut().insert(headers::REQUEST_ID, id.header().clone());
                    response.map(|body| AnswerBody::Function { body, _in_flight: in_flight })
                }
                Err(problem) => tell(problem, in_flight.stats(), &id),
            })
        }
    }

    fn route(&self, host: &str, request: &Request<Incoming>) -> Result<D::Target, Refusal> {
        let path = request.uri().path();
        let routes = self.0.routes.load();
        match routes.find(host, path, request.method()) {
            Found::Target(target) => Ok(target.clone()),
            Found::WrongMethod(allowed) => Err(Refusal::WrongMethod { path: path.to_owned(), allowed }),
            Found::Nothing => Err(Refusal::NoRoute(path.to_owned())),
        }
    }
}

fn tell<B>(problem: Problem, stats: &Stats, id: &RequestId) -> Response<AnswerBody<B>> {
    stats.problems.fetch_add(1, Relaxed);
    tracing::debug!(problem = problem.slug(), request = id.as_str(), "turned away");
    problem.respond(id)
}

/// The id that the caller gave, if it can be one, or else a new one.
fn request_id(map: &HeaderMap) -> RequestId {
    let given = map.get(headers::REQUEST_ID).cloned().and_then(RequestId::new);
    given.unwrap_or_else(|| RequestId::from_number(fastrand::u128(..)))
}

/// The host that the request is for: its URI's, where it has one, or else its `Host` header's.
fn host(request: &Request<Incoming>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(header::HOST)?.to_str().ok(),
    }
}

/// Refuses what no function should have to deal with; else the host that the request is for.
fn check<'a>(config: &GatewayConfig, request: &'a Request<Incoming>) -> Result<&'a str, Refusal> {
    let map = request.headers();
    let bytes = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > config.max_header_bytes {
        return Err(Refusal::HeadersTooLarge { limit: config.max_header_bytes, actual: bytes });
    }
    let several = request.version() <= Version::HTTP_11 && map.get_all(header::HOST).iter().nth(1).is_some();
    let host = host(request).filter(|host| is_authority(host) && !several).ok_or(Refusal::NoHost)?;
    if !request.uri().path().starts_with('/') {
        return Err(Refusal::BadTarget("the request's target is not a path"));
    }
    Ok(host)
}

/// Whether a text is a host, perhaps with a port (RFC 3986, 3.2.2), without a user in front.
fn is_authority(text: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    // Names and addresses of version 4, which are nearly all, need no more than that.
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return !name.is_empty() && is_port(port);
    }
    // An address of version 6 stands in brackets, and what follows is its port.
    let port = text.rsplit_once(']').map_or(text, |(_, port)| port).rsplit_once(':').map_or("", |(_, port)| port);
    let is_host = text.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty());
    is_host && !text.contains('@') && is_port(port)
}

/// Takes out what only Samovar may say, and adds what it has to say.
fn prepare(map: &mut HeaderMap, forwarded: HeaderValue, id: &RequestId) {
    let reserved = |name: &&HeaderName| name.as_str().starts_with(headers::PREFIX);
    if map.keys().any(|name| reserved(&name)) {
        let names: Vec<_> = map.keys().filter(reserved).cloned().collect();
        for name in names {
            map.remove(name);
        }
    }
    map.reserve(2);
    map.insert(headers::REQUEST_ID, id.header().clone());
    map.append(header::FORWARDED, forwarded);
}

/// The body of an answer: a function's, or a problem document.
pub(crate) enum AnswerBody<B> {
    Function { body: B, _in_flight: InFlight },
    Problem(Full<Bytes>),
}

impl<B> From<Bytes> for AnswerBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::Problem(Full::new(bytes))
    }
}

impl<B: Body<Data = Bytes, Error = Fault> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Function { body, .. } => Pin::new(body).poll_frame(cx),
            Self::Problem(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Function { body, .. } => body.is_end_stream(),
            Self::Problem(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Function { body, .. } => body.size_hint(),
            Self::Problem(body) => body.size_hint(),
        }
    }
}

/// Where a gateway listens, as a URL that a client on the same machine can use.
pub fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}
