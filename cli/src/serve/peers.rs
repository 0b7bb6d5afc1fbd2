//! Calls of hosts about themselves, and artifacts from hosts that have them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, BodyStream, Full, Limited};
use samovar_cluster::{Membership, PeerBytes, Peers};
use samovar_hop::message::HostCall;
use samovar_hop::{ConnectError, Connector, Received, Sender};
use samovar_model::{Digest, HostId, HostRecord, HostState};

/// The longest answer that is read whole.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How long a host may take to say whether it has an artifact.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a host did not answer a call.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It cannot be reached, or was lost.
    Unreachable(String),
    /// It said no, and why.
    Refused(StatusCode, String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Refused(_, why) => f.write_str(why),
        }
    }
}

/// Calls hosts, over one connection to each. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HostCaller {
    connector: Connector,
    /// By name and address: a host that moved is another one.
    links: Arc<Mutex<HashMap<(HostId, String), Sender>>>,
}

impl HostCaller {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, links: Arc::default() }
    }

    async fn sender(&self, host: &HostRecord) -> Result<Sender, ConnectError> {
        let links = || self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.id.clone(), host.address.clone());
        if let Some(sender) = links().get(&key).filter(|sender| !sender.is_closed()).cloned() {
            return Ok(sender);
        }
        let link = self.connector.connect(&host.address, &host.id).await?;
        let mut links = links();
        links.retain(|_, sender| !sender.is_closed());
        links.insert(key, link.sender.clone());
        Ok(link.sender)
    }

    /// Calls a host, and answers the body to come.
    pub(crate) async fn stream(
        &self,
        host: &HostRecord,
        method: Method,
        path_and_query: &str,
        body: Bytes,
    ) -> Result<Received, CallError> {
        let unreachable = |why: &dyn fmt::Display| {
            CallError::Unreachable(format!("host `{}` at {} cannot be reached: {why}", host.id, host.address))
        };
        let sender = self.sender(host).await.map_err(|error| unreachable(&error))?;
        let request = Request::builder().method(method).uri(format!("http://{}{path_and_query}", host.address));
        let request = request.body(Full::new(body)).map_err(|error| unreachable(&error))?;
        let answer = sender.send(request).await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let why = whole(answer.into_body()).await.unwrap_or_default();
        Err(CallError::Refused(status, String::from_utf8_lossy(&why).into_owned()))
    }

    /// Calls a host, and reads its answer as JSON.
    pub(crate) async fn call<T: serde::de::DeserializeOwned>(
        &self,
        host: &HostRecord,
        call: &HostCall,
        body: Option<Bytes>,
    ) -> Result<T, CallError> {
        let method = if call.is_question() { Method::GET } else { Method::POST };
        let answer = self.stream(host, method, &call.path(), body.unwrap_or_default()).await?;
        let broken = |why: &dyn fmt::Display| CallError::Unreachable(format!("host `{}`: its answer: {why}", host.id));
        let bytes = whole(answer).await.map_err(|error| broken(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| broken(&error))
    }
}

async fn whole(body: Received) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes())
}

/// The hosts of a cluster as a source of artifacts, for when their store is away.
pub(crate) struct HostPeers {
    caller: HostCaller,
    membership: Arc<dyn Membership>,
}

impl HostPeers {
    pub(crate) fn new(caller: HostCaller, membership: Arc<dyn Membership>) -> Self {
        Self { caller, membership }
    }
}

impl Peers for HostPeers {
    fn fetch(&self, digest: &Digest) -> BoxStream<'static, PeerBytes> {
        let (caller, path) = (self.caller.clone(), HostCall::Artifact(*digest).path());
        let hosts = futures_util::stream::iter(askable(&*self.membership));
        let bytes = hosts.filter_map(move |host| {
            let (caller, path) = (caller.clone(), path.clone());
            async move {
                let asked = caller.stream(&host, Method::GET, &path, Bytes::new());
                let body = tokio::time::timeout(PEER_TIMEOUT, asked).await.ok()?.ok()?;
                let frames = BodyStream::new(body).filter_map(|frame| async {
                    match frame {
                        Ok(frame) => frame.into_data().ok().map(Ok),
                        Err(error) => Some(Err(std::io::Error::other(error))),
                    }
                });
                Some(frames.boxed())
            }
        });
        bytes.boxed()
    }
}

/// The hosts that can be asked, those that are ready first; never those of a lease that is over.
pub(crate) fn askable(membership: &dyn Membership) -> Vec<Arc<HostRecord>> {
    let hosts = membership.watch().borrow().clone();
    let mut members: Vec<_> = hosts.members.values().filter(|member| member.state != HostState::Gone).collect();
    let rank = |state: HostState| match state {
        HostState::Ready => 0,
        HostState::Draining => 1,
        HostState::Suspect | HostState::Gone => 2,
    };
    members.sort_by_key(|member| rank(member.state));
    members.into_iter().map(|member| Arc::clone(&member.record)).collect()
}
