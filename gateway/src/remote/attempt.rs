//! One attempt to have a request answered by one host, and what its failure means for the next.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use samovar_hop::message::{self, ELAPSED, LOAD, Since, TARGET};
use samovar_hop::{Received, SendError};
use samovar_model::{Fault, HostId, Lineage, Origin, headers};

use super::answer::RemoteBody;
use super::replay::{HopBody, Replay};
use super::{GRACE, Inner, Route, sticky};
use crate::RequestBody;
use crate::balance::{self, Guard};

/// A request that may have to be sent more than once.
pub(super) struct Sent<B> {
    head: Parts,
    /// What it inherits, where a function sends it.
    lineage: Option<Lineage>,
    body: Replay<B>,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The host says so.
    Told(Fault),
    /// It was never sent.
    Unsent,
    /// The connection broke, or the host gave the request up, and it may have been begun.
    Lost {
        /// Whether it was the connection.
        whole: bool,
    },
    /// The caller has not sent all of it.
    Caller,
    /// The deadline has passed.
    Late(Duration),
}

impl Failure {
    /// Whether trying it on another host is safe. If so, the body has been taken back for that.
    pub(super) fn may_retry<B: RequestBody>(&self, sent: &Sent<B>) -> bool {
        let is_safe = match self {
            // What is wrong with the function is so everywhere.
            Self::Told(fault) => fault.never_started() && fault.origin() == Origin::Platform,
            Self::Unsent => true,
            Self::Lost { .. } => sent.head.method.is_idempotent(),
            Self::Late(_) | Self::Caller => false,
        };
        is_safe && sent.body.take_back()
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
            Self::Lost { .. } => Fault::HostLost,
            Self::Caller => Fault::CallerGone,
            Self::Late(limit) => Fault::Deadline(limit),
        }
    }

    /// Whether the host, or the way to it, is to blame.
    fn blames_host(&self) -> bool {
        matches!(self, Self::Unsent | Self::Lost { whole: true } | Self::Late(_) | Self::Told(Fault::NotAvailable))
    }
}

impl<B: RequestBody> Sent<B> {
    /// Whether a host that is not ready for it may say so: if all of it can be sent again.
    pub(super) fn is_short(&self) -> bool {
        self.body.is_short()
    }

    /// Whether sending it twice at once does no harm, and costs little.
    pub(super) fn may_hedge(&self) -> bool {
        self.head.method.is_safe() && self.body.is_empty()
    }

    /// Makes a request what a host is sent.
    pub(super) fn new(request: Request<B>, target: &HeaderValue) -> Self {
        let (mut head, body) = request.into_parts();
        head.version = http::Version::HTTP_2;
        let lineage = head.extensions.get().copied();
        head.extensions.clear();
        let host = head.headers.remove(header::HOST);
        drop_hop_by_hop(&mut head.headers);
        if head.uri.authority().is_none() {
            head.uri = absolute(&head.uri, host.as_ref());
        }
        head.headers.insert(TARGET, target.clone());
        // An id is no other request's: kept out of the tables of compressed headers, it pushes nothing out of them.
        if let Some(id) = head.headers.get_mut(headers::REQUEST_ID) {
            id.set_sensitive(true);
        }
        Self { head, lineage, body: Replay::new(body) }
    }

    /// The request, once more.
    fn request(&self, elapsed: Option<Duration>) -> Request<HopBody<B>> {
        let mut head = self.head.clone();
        if let Some(since) = (Since { elapsed, lineage: self.lineage }).header(Instant::now()) {
            head.headers.insert(ELAPSED, since);
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
    // What the gateway says itself is not the caller's to take out.
    const KEPT: [HeaderName; 3] = [header::CONTENT_LENGTH, header::FORWARDED, headers::REQUEST_ID];
    if map.contains_key(header::CONNECTION) {
        let lines: Vec<HeaderValue> = map.get_all(header::CONNECTION).iter().cloned().collect();
        map.remove(header::CONNECTION);
        let named = lines.iter().flat_map(|line| line.to_str().unwrap_or_default().split(','));
        for name in named.filter_map(|name| HeaderName::try_from(name.trim()).ok()) {
            if !KEPT.contains(&name) {
                map.remove(name);
            }
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
    pub(super) fn pick<B>(&self, route: &Route, sent: &Sent<B>, tried: &[HostId]) -> Option<Picked> {
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
    pub(super) async fn attempt<B: RequestBody>(
        &self,
        route: &Route,
        sent: &Sent<B>,
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
            match message::fault(response.headers()).map(Failure::Told) {
                // It has neither served it nor failed.
                Some(told) if told.is_unprepared() => Err(told),
                Some(told) => {
                    self.heard(&mut guard, told.blames_host(), begun.elapsed(), load);
                    Err(told)
                }
                None => {
                    self.heard(&mut guard, false, begun.elapsed(), load);
                    Ok(response)
                }
            }
        });
        let failure = match answered {
            Ok(mut response) => {
                if route.sticky && !hinted {
                    sticky::remember(response.headers_mut(), guard.host().id(), self.connector.identity());
                }
                let (head, answer) = response.into_parts();
                let (mut taken, deadline) = (Some((answer, guard)), begun + left);
                let body = poll_fn(|cx| match taken.take() {
                    Some((answer, guard)) => Poll::Ready(RemoteBody::read(answer, guard, self.started, deadline, cx)),
                    None => Poll::Pending,
                });
                return match body.await {
                    Ok(body) => Ok(Response::from_parts(head, body)),
                    Err(_) => Err(Failure::Lost { whole: false }),
                };
            }
            Err(Failure::Lost { .. }) if sent.body.is_broken() => Failure::Caller,
            Err(failure) => failure,
        };
        if failure.blames_host() && !matches!(failure, Failure::Told(_)) {
            self.heard(&mut guard, true, begun.elapsed(), None);
        }
        guard.end(self.now());
        Err(failure)
    }

    fn heard(&self, guard: &mut Guard, failed: bool, latency: Duration, load: Option<u32>) {
        let outcome = if failed { balance::Outcome::Failed } else { balance::Outcome::Served };
        guard.answered(balance::Answer { outcome, latency, load }, self.now());
    }

    async fn send<B: RequestBody>(
        &self,
        host: &HostId,
        sent: &Sent<B>,
        elapsed: Option<Duration>,
    ) -> Result<Response<Received>, Failure> {
        let links = self.links.load().get(host).cloned().ok_or(Failure::Unsent)?;
        let sender = links.sender_within(self.config.connect_patience).await;
        let sender = sender.map_err(|_| Failure::Unsent)?;
        sender.send(sent.request(elapsed)).await.map_err(|error| match error {
            SendError::Unsent(_) => Failure::Unsent,
            SendError::Lost(error) => Failure::Lost { whole: !error.is_reset() },
            // Checked when it came.
            SendError::Unfit(_) => Failure::Caller,
        })
    }
}
