//! The cluster, as the control API sees it: hosts that check and compile, gateways that say by what they route.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{Method, StatusCode};
use http_body_util::BodyStream;
use jiff::Timestamp;
use samovar_cluster::{Gateways, Jobs, Membership, Queues};
use samovar_control::platform::{Checked, Platform, Refusal};
use samovar_hop::Received;
use samovar_hop::message::{self, HostCall, StatsPart};
use samovar_model::{
    Digest, FunctionName, FunctionStats, GatewayState, HostId, HostIntent, HostRecord, HostState, LogLine, Settings,
};
use samovar_runtime::add_up;

use super::member::Member;
use super::peers::{CallError, HostCaller, askable};
use super::queues;

/// How long gateways are waited for that have not said by what they route.
const ROUTED_WITHIN: Duration = Duration::from_secs(30);
/// How long a host may take to tell of itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a host may take to compile a component: the largest take a minute on a slow machine, and there may be one before it.
const CHECKED_WITHIN: Duration = Duration::from_secs(180);
/// How long a host may take to start an instance of it.
const REHEARSED_WITHIN: Duration = Duration::from_secs(60);
/// The longest line of a log that is read: more than any function can write.
const MAX_LINE_BYTES: usize = 1 << 20;

/// The cluster.
pub(super) struct RemotePlatform {
    membership: Arc<dyn Membership>,
    gateways: Arc<dyn Gateways>,
    caller: HostCaller,
    jobs: Arc<dyn Jobs>,
    gateway_url: Option<String>,
    queues: Arc<dyn Queues>,
}

impl RemotePlatform {
    pub(super) fn new(member: &Member, gateway_url: Option<String>) -> Self {
        Self {
            membership: Arc::clone(&member.membership) as _,
            gateways: Arc::clone(&member.gateways) as _,
            caller: member.caller.clone(),
            jobs: member.jobs(),
            gateway_url,
            queues: queues::of(member),
        }
    }

    fn hosts(&self) -> Vec<Arc<HostRecord>> {
        askable(&*self.membership)
    }

    /// Gateways and hosts that go by an older version of the registry than this one.
    fn behind(&self, version: u64) -> Vec<String> {
        let (gateways, hosts) = (self.gateways.watch(), self.membership.watch());
        let (gateways, hosts) = (gateways.borrow().clone(), hosts.borrow().clone());
        let gateways = gateways.values().filter(|member| member.state != GatewayState::Gone);
        let gateways = gateways.map(|member| &member.record).filter(|record| record.routed < version);
        let hosts = hosts.members.values().filter(|member| member.state != HostState::Gone);
        let hosts = hosts.map(|member| &member.record).filter(|record| record.report.routed < version);
        let gateways = gateways.map(|record| format!("gateway {} at {}", record.id, record.address));
        gateways.chain(hosts.map(|record| format!("host {} at {}", record.id, record.address))).collect()
    }

    /// Asks one host after the other, until one can tell.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        call: &HostCall,
        body: &Bytes,
        within: Duration,
    ) -> Result<T, CallError> {
        let caller = &self.caller;
        let ask = |host: Arc<HostRecord>| async move { caller.call(&host, call, Some(body.clone())).await };
        first_answer(self.hosts(), within, ask).await
    }

    /// Asks all hosts at once; those that do not answer in time are left out.
    async fn ask_all<T: serde::de::DeserializeOwned>(&self, call: &HostCall) -> Vec<T> {
        let asked = self.hosts().into_iter().map(|host| async move {
            let answer = tokio::time::timeout(ANSWER_WITHIN, self.caller.call(&host, call, None)).await;
            match answer {
                Ok(Ok(part)) => Some(part),
                Ok(Err(CallError::Refused(StatusCode::NOT_FOUND, _))) => None,
                Ok(Err(error)) => {
                    tracing::debug!(host = %host.id, %error, "a host's statistics are left out");
                    None
                }
                Err(_) => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn lines(
        &self,
        host: &HostRecord,
        name: &FunctionName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Option<BoxStream<'static, LogLine>> {
        let mut path = format!("{}?follow={follow}", HostCall::Logs(name.clone()).path());
        if let Some(since) = since {
            path.push_str(&format!("&since={since}"));
        }
        let asked = self.caller.stream(host, Method::GET, &path, Bytes::new());
        let body = tokio::time::timeout(ANSWER_WITHIN, asked).await.ok()?.ok()?;
        Some(lines(body).boxed())
    }
}

/// Asks one host after the other, each for so long, until one can tell.
async fn first_answer<T, Asked: Future<Output = Result<T, CallError>>>(
    hosts: Vec<Arc<HostRecord>>,
    within: Duration,
    ask: impl Fn(Arc<HostRecord>) -> Asked,
) -> Result<T, CallError> {
    let mut failed = CallError::Unreachable(
        "no host is there that could check the function: start one with `samovar host --join`".to_owned(),
    );
    for host in hosts {
        match tokio::time::timeout(within, ask(Arc::clone(&host))).await {
            Err(_) => {
                let (seconds, HostRecord { id, address, .. }) = (within.as_secs(), &*host);
                let why = format!("host `{id}` at {address} did not finish checking the function in {seconds} s");
                tracing::warn!("{why}");
                failed = CallError::Unreachable(why);
            }
            Ok(Err(error @ CallError::Unreachable(_))) => failed = error,
            Ok(Err(error @ CallError::Refused(status, _))) if status.is_server_error() => failed = error,
            Ok(done) => return done,
        }
    }
    Err(failed)
}

/// Lines of JSON, as they come.
fn lines(body: Received) -> impl futures_util::Stream<Item = LogLine> + Send {
    let read = (BodyStream::new(body), Vec::new());
    stream::unfold(read, |(mut body, mut rest): (_, Vec<u8>)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(line) => return Some((line, (body, rest))),
                    Err(error) => tracing::debug!(%error, "a line of a log that cannot be read"),
                }
                continue;
            }
            let frame = body.next().await?.ok()?;
            rest.extend_from_slice(&frame.into_data().unwrap_or_default());
            if rest.len() > MAX_LINE_BYTES {
                return None;
            }
        }
    })
}

fn refusal(error: CallError) -> Refusal {
    match error {
        CallError::Refused(StatusCode::UNPROCESSABLE_ENTITY, why) => Refusal::Component(why),
        CallError::Refused(_, why) | CallError::Unreachable(why) => Refusal::Unavailable(why),
    }
}

#[async_trait]
impl Platform for RemotePlatform {
    fn gateway_url(&self) -> String {
        if let Some(url) = &self.gateway_url {
            return url.clone();
        }
        let gateways = self.gateways.watch().borrow().clone();
        let ready = gateways.values().find(|gateway| gateway.state == GatewayState::Ready);
        let any = ready.or_else(|| gateways.values().next());
        any.map_or_else(|| "(no gateway yet)".to_owned(), |gateway| format!("http://{}", gateway.record.address))
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn check(&self, digest: Digest, file: &Path) -> Result<Checked, Refusal> {
        let call = HostCall::Check(digest);
        // A host that has compiled it before, or can fetch it, need not be sent it.
        let checked = match self.ask::<message::Checked>(&call, &Bytes::new(), CHECKED_WITHIN).await {
            Err(CallError::Refused(StatusCode::NOT_FOUND, _)) => {
                let bytes = tokio::fs::read(file).await;
                let bytes = bytes.map_err(|error| Refusal::Unavailable(format!("{}: {error}", file.display())))?;
                self.ask(&call, &bytes.into(), CHECKED_WITHIN).await
            }
            checked => checked,
        };
        let message::Checked { component, compile_millis } = checked.map_err(refusal)?;
        Ok(Checked { component, compile_millis })
    }

    async fn rehearse(&self, digest: Digest, settings: &Settings) -> Result<(), Refusal> {
        let json = serde_json::to_vec(settings).map_err(|error| Refusal::Unavailable(error.to_string()))?;
        self.ask(&HostCall::Rehearse(digest), &json.into(), REHEARSED_WITHIN).await.map_err(refusal)
    }

    async fn routed(&self, version: u64, everywhere: bool) -> Vec<String> {
        if !everywhere {
            return Vec::new();
        }
        let (mut gateways, mut hosts) = (self.gateways.watch(), self.membership.watch());
        let all = async {
            loop {
                // Hosts as well: with what they know, a gateway that starts from its disk answers with the new revision.
                if self.behind(version).is_empty() {
                    return;
                }
                let changed = tokio::select! {
                    changed = gateways.changed() => changed,
                    changed = hosts.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(ROUTED_WITHIN, all).await);
        self.behind(version)
    }

    async fn stats(&self, name: &FunctionName) -> Option<FunctionStats> {
        let parts: Vec<StatsPart> = self.ask_all(&HostCall::Stats(name.clone())).await;
        (!parts.is_empty()).then(|| add_up(parts))
    }

    async fn all_stats(&self) -> BTreeMap<FunctionName, FunctionStats> {
        let hosts: Vec<BTreeMap<FunctionName, StatsPart>> = self.ask_all(&HostCall::AllStats).await;
        let mut parts: BTreeMap<FunctionName, Vec<StatsPart>> = BTreeMap::new();
        for (name, part) in hosts.into_iter().flatten() {
            parts.entry(name).or_default().push(part);
        }
        parts.into_iter().map(|(name, parts)| (name, add_up(parts))).collect()
    }

    fn queues(&self) -> Option<Arc<dyn Queues>> {
        Some(Arc::clone(&self.queues))
    }

    fn jobs(&self) -> Option<Arc<dyn Jobs>> {
        Some(Arc::clone(&self.jobs))
    }

    fn hosts(&self) -> Option<Vec<samovar_model::Member>> {
        Some(self.membership.watch().borrow().members.values().cloned().collect())
    }

    async fn ask_host(&self, host: &HostId, intent: HostIntent) -> Result<(), Refusal> {
        self.membership.ask(host, intent).await.map_err(|error| Refusal::Unavailable(error.to_string()))
    }

    async fn logs(&self, name: &FunctionName, since: Option<Timestamp>, follow: bool) -> BoxStream<'static, LogLine> {
        let asked = self.hosts().into_iter().map(|host| async move { self.lines(&host, name, since, follow).await });
        let streams: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        if follow {
            return stream::select_all(streams).boxed();
        }
        // Each host's lines are in order; all of them together are put in order here.
        let mut all: Vec<LogLine> = stream::iter(streams).flatten().collect().await;
        all.sort_by_key(|line| line.time);
        stream::iter(all).boxed()
    }

    fn metrics(&self, out: &mut String) {
        let hosts = self.membership.watch().borrow().clone();
        out.push_str(
            "# HELP samovar_cluster_hosts Hosts of the cluster by state.\n# TYPE samovar_cluster_hosts gauge\n",
        );
        for state in ["ready", "draining", "suspect", "gone"] {
            let count = hosts.members.values().filter(|member| member.state.to_string() == state).count();
            out.push_str(&format!("samovar_cluster_hosts{{state=\"{state}\"}} {count}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use samovar_model::{BootEpoch, HostCapacity, HostReport};

    use super::*;

    fn host(name: &str) -> Arc<HostRecord> {
        Arc::new(HostRecord {
            id: name.parse().unwrap(),
            address: "10.0.0.7:7070".to_owned(),
            version: String::new(),
            epoch: BootEpoch::now(),
            started: Timestamp::UNIX_EPOCH,
            capacity: HostCapacity { instances: 1, memory_bytes: 1, slots: 1 },
            report: HostReport::default(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_is_given_up_for_the_next() {
        let ask = |host: Arc<HostRecord>| async move {
            if host.id.as_str() == "hangs" {
                std::future::pending::<()>().await;
            }
            Ok(host.id.to_string())
        };
        let minute = Duration::from_secs(60);
        assert_eq!(first_answer(vec![host("hangs"), host("works")], minute, ask).await.unwrap(), "works");
        let error = first_answer(vec![host("hangs")], minute, ask).await.unwrap_err();
        let why = "host `hangs` at 10.0.0.7:7070 did not finish checking the function in 60 s";
        assert!(matches!(&error, CallError::Unreachable(_)) && error.to_string() == why, "{error}");
    }

    #[tokio::test]
    async fn a_host_that_refuses_is_believed_and_one_that_fails_is_not() {
        let ask = |host: Arc<HostRecord>| async move {
            let status = StatusCode::from_bytes(&host.id.as_str().as_bytes()[1..]).unwrap();
            Err::<(), _>(CallError::Refused(status, host.id.to_string()))
        };
        let error = first_answer(vec![host("h503"), host("h422"), host("h404")], ANSWER_WITHIN, ask).await.unwrap_err();
        assert_eq!(error.to_string(), "h422");
    }
}
