//! Hosts elsewhere: picks one for each request, sends it there, and tries another where that is safe.
//!
//! ```text
//! dispatch -> pick (`balance`) -> a connection (`remote/links.rs`) -> send -> the answer
//!     ^                                                                |
//!     \---- never started, or idempotent; within the retry budget <---/
//! ```
//!
//! A request is tried again only where the function cannot have begun with it, or where doing it twice is the same as doing it
//! once (RFC 9110, 9.2.2); and only as long as its body can be sent again (`remote/replay.rs`).

mod answer;
mod attempt;
mod config;
mod fleet;
mod links;
mod replay;
mod sticky;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use http::{HeaderValue, Request, Response};
use samovar_hop::Connector;
use samovar_hop::message::Target;
use samovar_model::{Fault, FunctionName, HostId, RequestId, Revision};
use tokio::sync::Notify;

use crate::balance::retry_budget::RetryBudget;
use crate::balance::{Balancer, Placement};
use crate::{Dispatcher, RequestBody};
pub use answer::RemoteBody;
use attempt::{Failure, Picked, Sent};
pub use config::RemoteConfig;
use links::Links;

/// How many hosts a request is tried on at most.
const MOST_TRIES: usize = 4;

/// How much longer than the function's own deadline an answer is waited for: the host keeps that, unless it is stuck.
const GRACE: Duration = Duration::from_secs(1);

/// How long a host is passed over for a function that it has not compiled yet.
const UNPREPARED: Duration = Duration::from_millis(100);

/// Passes requests to hosts on other machines. Cheap to clone.
#[derive(Clone)]
pub struct RemoteHosts(Arc<Inner>);

struct Inner {
    config: RemoteConfig,
    connector: Connector,
    balancer: Balancer,
    budget: RetryBudget,
    /// Connections to every host that is not gone.
    links: ArcSwap<Links>,
    /// Called when a host could be reached and cannot any more, or the other way around.
    reached: Arc<Notify>,
    placements: DashMap<FunctionName, Weak<Placement>>,
    /// At how many of them those that nobody has any more are thrown out.
    look_through: AtomicUsize,
    started: Instant,
}

/// What a route points at.
#[derive(Clone)]
pub struct RemoteTarget(Arc<Route>);

struct Route {
    placement: Arc<Placement>,
    /// What the host is told.
    header: HeaderValue,
    timeout: Duration,
    /// Whether callers come back to the host they had.
    sticky: bool,
}

impl RemoteHosts {
    /// Without hosts, until [`RemoteHosts::follow`] runs.
    pub fn new(config: RemoteConfig, connector: Connector) -> Self {
        let balancer = Balancer::new(config.policy);
        Self(Arc::new(Inner {
            config,
            connector,
            balancer,
            budget: RetryBudget::new(),
            links: ArcSwap::default(),
            reached: Arc::default(),
            placements: DashMap::new(),
            look_through: AtomicUsize::new(1024),
            started: Instant::now(),
        }))
    }

    /// What is kept of a function as long as any route points at it.
    fn placement(&self, function: &FunctionName) -> Arc<Placement> {
        if self.0.placements.len() >= self.0.look_through.load(Relaxed) {
            self.0.placements.retain(|_, placement| placement.strong_count() > 0);
            self.0.look_through.store(2 * self.0.placements.len().max(512), Relaxed);
        }
        let mut slot = self.0.placements.entry(function.clone()).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let placement = Arc::new(Placement::new(function.as_str()));
            *slot = Arc::downgrade(&placement);
            placement
        })
    }
}

impl Inner {
    /// The time, as the balancer counts it.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn dispatch<B: RequestBody>(
        &self,
        target: RemoteTarget,
        request: Request<B>,
    ) -> Result<Response<RemoteBody>, Fault> {
        let (begun, route) = (Instant::now(), &*target.0);
        let sent = Sent::new(request, &route.header);
        self.budget.request(self.now());
        let mut tried: Vec<HostId> = Vec::new();
        let Some(mut picked) = self.pick(route, &sent, &tried) else { return Err(Fault::NoHost) };
        // A host that is not ready says so only if the request can be sent again.
        let mut elapsed = (!sent.is_short()).then_some(Duration::ZERO);
        loop {
            tried.push(picked.host().clone());
            let hedge_after = self.config.hedge_after.filter(|_| elapsed.is_none() && sent.may_hedge());
            let answer = match hedge_after {
                Some(after) => self.hedged(route, &sent, picked, after).await,
                None => self.attempt(route, &sent, picked, elapsed).await,
            };
            let failure = match answer {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let in_time = begun.elapsed() < route.timeout;
            if !(in_time && tried.len() < MOST_TRIES && failure.may_retry(&sent)) {
                return Err(failure.fault());
            }
            let is_unprepared = failure.is_unprepared();
            if is_unprepared && let Some(host) = tried.pop() {
                // Nothing has failed, and nothing is counted: where no other host is ready, the next attempt waits for it.
                route.placement.pass_over(host, self.now() + UNPREPARED);
            }
            elapsed = Some(begun.elapsed());
            let next = self.pick(route, &sent, &tried).filter(|_| is_unprepared || self.budget.retry(self.now()));
            let Some(next) = next else { return Err(failure.fault()) };
            picked = next;
        }
    }

    /// Sends a request to a second host if the first has not answered after some time. The first answer counts; a failure does
    /// only if the other has failed as well.
    async fn hedged<B: RequestBody>(
        &self,
        route: &Route,
        sent: &Sent<B>,
        picked: Picked,
        after: Duration,
    ) -> Result<Response<RemoteBody>, Failure> {
        let tried = [picked.host().clone()];
        let mut first = pin!(self.attempt(route, sent, picked, None));
        tokio::select! {
            answer = first.as_mut() => return answer,
            () = tokio::time::sleep(after) => {}
        }
        let Some(other) = self.pick(route, sent, &tried).filter(|_| self.budget.retry(self.now())) else {
            return first.await;
        };
        let mut second = pin!(self.attempt(route, sent, other, Some(after)));
        tokio::select! {
            answer = first.as_mut() => match answer {
                Ok(response) => Ok(response),
                Err(_) => second.await,
            },
            answer = second.as_mut() => match answer {
                Ok(response) => Ok(response),
                Err(_) => first.await,
            },
        }
    }
}

impl Dispatcher for RemoteHosts {
    type Target = RemoteTarget;
    type Body = RemoteBody;

    fn target(&self, function: &FunctionName, revision: &Arc<Revision>, version: u64) -> RemoteTarget {
        let header = Target { function: function.clone(), revision: revision.number, version }.header();
        let timeout = revision.settings.limits.timeout.as_duration();
        let placement = self.placement(function);
        let scale = &revision.settings.scale;
        placement.limit(scale.max_instances.saturating_mul(scale.concurrency));
        RemoteTarget(Arc::new(Route { placement, header, timeout, sticky: false }))
    }

    fn sticky(&self, target: RemoteTarget) -> RemoteTarget {
        let Route { placement, header, timeout, .. } = &*target.0;
        let (placement, header) = (Arc::clone(placement), header.clone());
        RemoteTarget(Arc::new(Route { placement, header, timeout: *timeout, sticky: true }))
    }

    fn dispatch<B: RequestBody>(
        &self,
        target: RemoteTarget,
        request: Request<B>,
        _id: RequestId,
    ) -> impl Future<Output = Result<Response<RemoteBody>, Fault>> + Send + use<B> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.dispatch(target, request).await })
    }
}
