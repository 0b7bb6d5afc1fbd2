//! A request's way through the gateway: [`Gateway::answer`] is the page to read.
//!
//! ```text
//! answer -> check the head -> route -> dispatch to a host -> stream the answer
//!                                 \--> jobs: what is to be answered later, and what is asked about that
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
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use samovar_cluster::{Jobs, Snapshot};
use samovar_model::{Fault, FunctionName, RequestId, headers};
use tokio::sync::watch;

use crate::config::GatewayConfig;
use crate::connection::{Connection, InFlight};
use crate::dispatcher::Dispatcher;
use crate::jobs::{self, Desk};
use crate::problem::{Problem, Refusal};
use crate::queues;
use crate::routes::Found;
use crate::stats::Stats;
use crate::targets::{Callee, Targets};

/// A gateway. Cheap to clone.
pub struct Gateway<D: Dispatcher>(Arc<Inner<D>>);

pub(crate) struct Inner<D: Dispatcher> {
    pub(crate) config: GatewayConfig,
    pub(crate) dispatcher: D,
    targets: ArcSwap<Targets<D::Target>>,
    /// The version of the snapshot that `targets` was made from.
    routed: watch::Sender<u64>,
    pub(crate) stats: Arc<Stats>,
    /// Where requests are stored that are answered later, if anywhere.
    jobs: Option<Desk>,
    /// Of the messages that functions subscribe to.
    pub(crate) queues: queues::Counts,
}

/// What is done with a request.
enum Way<T> {
    /// It is answered.
    Now(T),
    /// It is stored, and answered later.
    Later(Arc<Callee>),
    /// It asks about a job: this is behind [`jobs::PATH`].
    Job(String),
}

impl<D: Dispatcher> Clone for Gateway<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dispatcher> Gateway<D> {
    /// A gateway without routes, that answers every request at once.
    pub fn new(config: GatewayConfig, dispatcher: D) -> Self {
        Self::made(config, dispatcher, None)
    }

    /// A gateway without routes, that stores requests whose callers prefer to be answered later.
    /// [`Gateway::run_jobs`] is to run them.
    pub fn with_jobs(config: GatewayConfig, dispatcher: D, store: Arc<dyn Jobs>) -> Self {
        Self::made(config, dispatcher, Some(Desk::new(store)))
    }

    fn made(config: GatewayConfig, dispatcher: D, jobs: Option<Desk>) -> Self {
        let targets = ArcSwap::from_pointee(Targets::default());
        let (routed, _) = watch::channel(0);
        let (stats, queues) = Default::default();
        Self(Arc::new(Inner { config, dispatcher, targets, routed, stats, jobs, queues }))
    }

    pub(crate) fn store(&self) -> Option<Arc<dyn Jobs>> {
        self.0.jobs.as_ref().map(|desk| Arc::clone(&desk.store))
    }

    /// A function, as requests without a route reach it.
    pub(crate) fn callee(&self, function: &FunctionName) -> Option<(D::Target, Arc<Callee>)> {
        let targets = self.0.targets.load();
        targets.functions.get(function).map(|routed| (routed.target.clone(), Arc::clone(&routed.callee)))
    }

    pub(crate) fn inner(&self) -> &Inner<D> {
        &self.0
    }

    /// Routes by this snapshot from now on. Requests that are under way stay with the revision they began with.
    pub fn apply(&self, snapshot: &Snapshot) {
        self.0.targets.store(Arc::new(Targets::of(snapshot, &self.0.dispatcher)));
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
        if let Some(desk) = &self.0.jobs {
            desk.metrics(out);
        }
        self.0.queues.write(out);
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
        let way = checked.and_then(|host| Ok((self.way(host, &request)?, connection.forwarded(host))));
        let answering = match way {
            Ok((Way::Now(target), forwarded)) => {
                prepare(request.headers_mut(), forwarded, &id);
                Ok(Answering::Function(self.0.dispatcher.dispatch(target, request, id.clone())))
            }
            Ok((Way::Later(callee), forwarded)) => {
                prepare(request.headers_mut(), forwarded, &id);
                Ok(Answering::Own(self.at_desk(Errand::Store(callee, Box::new(request)))))
            }
            Ok((Way::Job(which), _)) => Ok(Answering::Own(self.at_desk(Errand::Look(request.method().clone(), which)))),
            Err(refusal) => Err(refusal),
        };
        async move {
            let answer = match answering {
                Ok(Answering::Function(answer)) => answer.await.map_err(Problem::from),
                Ok(Answering::Own(answer)) => match answer.await {
                    Ok(mut response) => {
                        response.headers_mut().insert(headers::REQUEST_ID, id.header().clone());
                        return Ok(response.map(AnswerBody::Own));
                    }
                    Err(problem) => Err(problem),
                },
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

    /// Has something done where jobs are kept. Boxed: few requests are answered there, and no other should carry it.
    fn at_desk(&self, errand: Errand) -> OwnAnswer {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let Some(desk) = &inner.jobs else { return Err(Refusal::NoRoute(jobs::PATH.to_owned()).into()) };
            match errand {
                Errand::Store(callee, request) => desk.accept(callee, *request).await,
                Errand::Look(method, which) => desk.look(method, which).await,
            }
        })
    }

    fn way(&self, host: &str, request: &Request<Incoming>) -> Result<Way<D::Target>, Refusal> {
        let path = request.uri().path();
        if let Some(which) = jobs::path_of(path)
            && self.0.jobs.is_some()
        {
            return Ok(Way::Job(which.to_owned()));
        }
        let targets = self.0.targets.load();
        match targets.routes.find(host, path, request.method()) {
            Found::Target(routed) if self.is_for_later(&routed.callee, request) => {
                Ok(Way::Later(Arc::clone(&routed.callee)))
            }
            Found::Target(routed) => Ok(Way::Now(routed.target.clone())),
            Found::WrongMethod(allowed) => Err(Refusal::WrongMethod { path: path.to_owned(), allowed }),
            Found::Nothing => Err(Refusal::NoRoute(path.to_owned())),
        }
    }

    /// Whether the caller would rather not wait, and need not.
    fn is_for_later(&self, callee: &Callee, request: &Request<Incoming>) -> bool {
        jobs::asks_for_later(request.headers()) && self.0.jobs.is_some() && callee.revision.settings.jobs.respond_async
    }
}

/// What is done where jobs are kept.
enum Errand {
    Store(Arc<Callee>, Box<Request<Incoming>>),
    Look(Method, String),
}

/// An answer of the gateway's own.
type OwnAnswer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Problem>> + Send>>;

/// An answer that is being made.
enum Answering<F> {
    Function(F),
    Own(OwnAnswer),
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

/// The body of an answer: a function's, or the gateway's own.
pub(crate) enum AnswerBody<B> {
    Function { body: B, _in_flight: InFlight },
    Own(Full<Bytes>),
}

impl<B> From<Bytes> for AnswerBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::Own(Full::new(bytes))
    }
}

impl<B: Body<Data = Bytes, Error = Fault> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Function { body, .. } => Pin::new(body).poll_frame(cx),
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Function { body, .. } => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Function { body, .. } => body.size_hint(),
            Self::Own(body) => body.size_hint(),
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
