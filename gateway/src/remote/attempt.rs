//! One attempt to have a request answered by one host, and what its failure means for the next.

use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use samovar_hop::message::{self, ELAPSED, LOAD, TARGET};
use samovar_hop::{Answer, SendError};
use samovar_model::{Fault, HostId, Origin, headers};

use super::answer::RemoteBody;
use super::replay::{HopBody, Replay};
use super::{GRACE, Inner, Route, sticky};
use crate::balance::{self, Guard};

/// A request that may have to be sent more than once.
pub(super) struct Sent {
    head: Parts,
    body: Replay,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The host says so.
    Told(Fault),
    /// It was never sent.
    Unsent,
    /// The connection broke, and it may have been begun.
    Lost,
    /// The deadline has passed.
    Late(Duration),
}

impl Failure {
    /// Whether trying it on another host is safe.
    pub(super) fn may_retry(&self, sent: &Sent) -> bool {
        let is_safe = match self {
            // What is wrong with the function is so everywhere.
            Self::Told(fault) => fault.never_started() && fault.origin() == Origin::Platform,
            Self::Unsent => true,
            Self::Lost => sent.head.method.is_idempotent(),
            Self::Late(_) => false,
        };
        is_safe && sent.body.can_replay()
    }

    /// Whether the host has not compiled the function yet.
    pub(super) fn is_unprepared(&self) -> bool {
        matches!(self, Self::Told(Fault::NotPrepared))
    }

    /// What the caller is told if it is not tried again.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Told(fault) => fault,
            Self::Unsent => Fault::NoHost,
            Self::Lost => Fault::HostLost,
            Self::Late(limit) => Fault::Deadline(limit),
        }
    }

    /// Whether the host, or the way to it, is to blame.
    fn blames_host(&self) -> bool {
        matches!(self, Self::Unsent | Self::Lost | Self::Late(_) | Self::Told(Fault::NotAvailable))
    }
}

impl Sent {
    /// Whether sending it twice at once does no harm, and costs little.
    pub(super) fn may_hedge(&self) -> bool {
        self.head.method.is_safe() && self.body.is_empty()
    }

    /// Makes a request what a host is sent.
    pub(super) fn new(request: Request<Incoming>, target: &HeaderValue) -> Self {
        let (mut head, body) = request.into_parts();
        head.version = http::Version::HTTP_2;
        head.extensions.clear();
        drop_hop_by_hop(&mut head.headers);
        let host = head.headers.remove(header::HOST);
        if head.uri.authority().is_none() {
            head.uri = absolute(&head.uri, host.as_ref());
        }
        head.headers.insert(TARGET, target.clone());
        // An id is no other request's: kept out of the tables of compressed headers, it pushes nothing out of them.
        if let Some(id) = head.headers.get_mut(headers::REQUEST_ID) {
            id.set_sensitive(true);
        }
        Self { head, body: Replay::new(body) }
    }

    /// The request, once more.
    fn request(&self, elapsed: Option<Duration>) -> Request<HopBody> {
        let mut head = self.head.clone();
        if let Some(elapsed) = elapsed {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            head.headers.insert(ELAPSED, millis.into());
        }
        Request::from_parts(head, self.body.begin())
    }
}

/// Headers that are about the caller's connection (RFC 9110, 7.6.1), and none of the host's business.
fn drop_hop_by_hop(map: &mut HeaderMap) {
    const ALWAYS: [HeaderName; 5] = [
        // The gateway has told its caller to go on.
        header::EXPECT,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    if let Some(connection) = map.remove(header::CONNECTION) {
        let named = connection.to_str().unwrap_or_default().split(',');
        for name in named.filter_map(|name| HeaderName::try_from(name.trim()).ok()) {
            map.remove(name);
        }
    }
    for name in ALWAYS {
        map.remove(name);
    }
    if map.get(header::TE).is_some_and(|te| te != "trailers") {
        map.remove(header::TE);
    }
}

/// A path with the host that the request named, which the gateway has checked.
fn absolute(uri: &Uri, host: Option<&HeaderValue>) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// The host that was picked for an attempt.
pub(super) struct Picked {
    guard: Guard,
    /// Whether the caller's cookie has named it.
    hinted: bool,
}

impl Picked {
    pub(super) fn host(&self) -> &HostId {
        self.guard.host().id()
    }
}

impl Inner {
    /// Picks a host that is not among `tried`.
    pub(super) fn pick(&self, route: &Route, sent: &Sent, tried: &[HostId]) -> Option<Picked> {
        let hint = if route.sticky { sticky::hint(&sent.head.headers, self.connector.identity()) } else { None };
        let hinted = hint.and_then(|host| self.balancer.pick_hinted(&route.placement, &host, tried, self.now()));
        if let Some(guard) = hinted {
            return Some(Picked { guard, hinted: true });
        }
        let guard =
            self.pick_ready(route, tried).or_else(|| self.balancer.pick(&route.placement, tried, self.now()).ok())?;
        Some(Picked { guard, hinted: false })
    }

    /// Picks a host that has not said that it is not ready for the function, if any is known.
    fn pick_ready(&self, route: &Route, tried: &[HostId]) -> Option<Guard> {
        let mut excluded = route.placement.passed_over(self.now());
        if excluded.is_empty() {
            return None;
        }
        excluded.extend_from_slice(tried);
        self.balancer.pick(&route.placement, &excluded, self.now()).ok()
    }

    /// Sends the request to a host. `elapsed` is how long ago the caller sent it, where that is not just now.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn attempt(
        &self,
        route: &Route,
        sent: &Sent,
        picked: Picked,
        elapsed: Option<Duration>,
    ) -> Result<Response<RemoteBody>, Failure> {
        let Picked { mut guard, hinted } = picked;
        let left = (route.timeout + GRACE).saturating_sub(elapsed.unwrap_or_default());
        let begun = Instant::now();
        let ended = tokio::time::timeout(left, self.send(guard.host().id(), sent, elapsed)).await;
        let ended = ended.unwrap_or(Err(Failure::Late(route.timeout)));
        let answered = ended.and_then(|mut response| {
            let load = response.headers_mut().remove(LOAD).and_then(|load| load.to_str().ok()?.parse().ok());
            let told = message::fault(response.headers()).map(Failure::Told);
            let failed = told.as_ref().is_some_and(Failure::blames_host);
            self.heard(&mut guard, failed, begun.elapsed(), load);
            told.map_or(Ok(response), Err)
        });
        match answered {
            Ok(mut response) => {
                if route.sticky && !hinted {
                    sticky::remember(response.headers_mut(), guard.host().id(), self.connector.identity());
                }
                Ok(response.map(|body| RemoteBody::new(body, guard, self.started)))
            }
            Err(failure) => {
                if !matches!(failure, Failure::Told(_)) {
                    self.heard(&mut guard, true, begun.elapsed(), None);
                }
                guard.end(self.now());
                Err(failure)
            }
        }
    }

    fn heard(&self, guard: &mut Guard, failed: bool, latency: Duration, load: Option<u32>) {
        let outcome = if failed { balance::Outcome::Failed } else { balance::Outcome::Served };
        guard.answered(balance::Answer { outcome, latency, load }, self.now());
    }

    async fn send(&self, host: &HostId, sent: &Sent, elapsed: Option<Duration>) -> Result<Response<Answer>, Failure> {
        let links = self.links.load().get(host).cloned().ok_or(Failure::Unsent)?;
        let sender = links.sender_within(self.config.connect_patience).await;
        let sender = sender.map_err(|_| Failure::Unsent)?;
        sender.send(sent.request(elapsed)).await.map_err(|error| match error {
            SendError::Unsent(_) => Failure::Unsent,
            SendError::Lost(_) => Failure::Lost,
        })
    }
}
