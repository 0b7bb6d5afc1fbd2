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
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use samovar_hop::Connector;
use samovar_hop::message::Target;
use samovar_model::{Fault, FunctionName, HostId, RequestId, Revision};
use tokio::sync::Notify;

use crate::Dispatcher;
use crate::balance::retry_budget::RetryBudget;
use crate::balance::{Balancer, Placement};
pub use answer::RemoteBody;
use attempt::{Outcome, Sent};
pub use config::RemoteConfig;
use links::Links;

/// How many hosts a request is tried on at most.
const MOST_TRIES: usize = 4;

/// How much longer than the function's own deadline an answer is waited for: the host keeps that, unless it is stuck.
const GRACE: Duration = Duration::from_secs(1);

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
            started: Instant::now(),
        }))
    }

    fn placement(&self, function: &FunctionName) -> Arc<Placement> {
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

    async fn dispatch(&self, target: RemoteTarget, request: Request<Incoming>) -> Result<Response<RemoteBody>, Fault> {
        let begun = Instant::now();
        let mut sent = Sent::new(request, &target.0.header);
        self.budget.request(self.now());
        let mut tried: Vec<HostId> = Vec::new();
        let mut last = None;
        loop {
            let (host, failure) = match self.attempt(&target.0, &mut sent, &tried, begun).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::Failed(host, failure) => (host, failure),
                Outcome::NoHost => return Err(last.unwrap_or(Fault::NoHost)),
            };
            tried.push(host);
            let in_time = begun.elapsed() < target.0.timeout;
            if !(failure.may_retry(&sent) && tried.len() < MOST_TRIES && in_time && self.budget.retry(self.now())) {
                return Err(failure.fault());
            }
            last = Some(failure.fault());
        }
    }
}

impl Dispatcher for RemoteHosts {
    type Target = RemoteTarget;
    type Body = RemoteBody;

    fn target(&self, function: &FunctionName, revision: &Arc<Revision>, version: u64) -> RemoteTarget {
        let header = Target { function: function.clone(), revision: revision.number, version }.header();
        let timeout = revision.settings.limits.timeout.as_duration();
        RemoteTarget(Arc::new(Route { placement: self.placement(function), header, timeout, sticky: false }))
    }

    fn sticky(&self, target: RemoteTarget) -> RemoteTarget {
        let Route { placement, header, timeout, .. } = &*target.0;
        let (placement, header) = (Arc::clone(placement), header.clone());
        RemoteTarget(Arc::new(Route { placement, header, timeout: *timeout, sticky: true }))
    }

    fn dispatch(
        &self,
        target: RemoteTarget,
        request: Request<Incoming>,
        _id: RequestId,
    ) -> impl Future<Output = Result<Response<RemoteBody>, Fault>> + Send + use<> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.dispatch(target, request).await })
    }
}
