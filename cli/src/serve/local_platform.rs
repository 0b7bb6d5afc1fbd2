//! This process, as the control API sees it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use samovar_cluster::Jobs;
use samovar_control::platform::{Checked, Platform, Refusal};
use samovar_gateway::Gateway;
use samovar_model::{Digest, FunctionName, FunctionStats, HostStats, LogLine, Settings};
use samovar_runtime::{CodeError, Host};
use tokio::sync::watch;

use super::local::LocalHost;

/// Gateway and host in one process.
pub(crate) struct LocalPlatform {
    host: Host,
    gateway: Gateway<LocalHost>,
    /// The version of the snapshot whose functions are called by others.
    called: watch::Receiver<u64>,
    gateway_url: String,
    jobs: Arc<dyn Jobs>,
    phase: AtomicU8,
}

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl LocalPlatform {
    pub(crate) fn new(
        host: Host,
        gateway: Gateway<LocalHost>,
        called: watch::Receiver<u64>,
        gateway_url: String,
        jobs: Arc<dyn Jobs>,
    ) -> Self {
        Self { host, gateway, called, gateway_url, jobs, phase: AtomicU8::new(STARTING) }
    }

    /// Says that requests are taken.
    pub(crate) fn ready(&self) {
        self.phase.store(READY, Ordering::Relaxed);
    }

    /// Says that no new requests are taken.
    pub(crate) fn draining(&self) {
        self.phase.store(DRAINING, Ordering::Relaxed);
    }
}

#[async_trait]
impl Platform for LocalPlatform {
    fn gateway_url(&self) -> String {
        self.gateway_url.clone()
    }

    fn ready(&self) -> Result<(), String> {
        match self.phase.load(Ordering::Relaxed) {
            READY => Ok(()),
            DRAINING => Err("draining: requests under way are finished, new ones are not taken".to_owned()),
            _ => Err("starting: the gateway does not listen yet".to_owned()),
        }
    }

    async fn check(&self, digest: Digest, file: &Path) -> Result<Checked, Refusal> {
        let compiled = self.host.compile(digest, file).await.map_err(|error| match error {
            CodeError::Refused(reason) => Refusal::Component(reason),
            CodeError::Io { .. } => Refusal::Unavailable(error.to_string()),
        })?;
        Ok(Checked { component: compiled.component, compile_millis: compiled.compile_millis })
    }

    async fn rehearse(&self, digest: Digest, settings: &Settings) -> Result<(), Refusal> {
        self.host.rehearse(digest, settings).await.map_err(Refusal::Component)
    }

    async fn routed(&self, version: u64, _everywhere: bool) -> Vec<String> {
        self.gateway.routed(version).await;
        // The sender lives as long as the host.
        drop(self.called.clone().wait_for(|called| *called >= version).await);
        Vec::new()
    }

    async fn stats(&self, name: &FunctionName) -> Option<FunctionStats> {
        self.host.stats(name)
    }

    async fn all_stats(&self) -> BTreeMap<FunctionName, FunctionStats> {
        self.host.stats_parts().into_iter().map(|(name, part)| (name, part.stats)).collect()
    }

    fn jobs(&self) -> Option<Arc<dyn Jobs>> {
        Some(Arc::clone(&self.jobs))
    }

    fn host(&self) -> Option<HostStats> {
        Some(self.host.usage())
    }

    async fn logs(&self, name: &FunctionName, since: Option<Timestamp>, follow: bool) -> BoxStream<'static, LogLine> {
        let reader = self.host.logs().read(name, since, follow).await;
        let past = stream::iter(reader.past);
        match reader.future {
            None => past.boxed(),
            Some(lines) => {
                past.chain(stream::unfold(lines, |mut lines| async { Some((lines.recv().await?, lines)) })).boxed()
            }
        }
    }

    fn metrics(&self, out: &mut String) {
        self.gateway.metrics(out);
        self.host.metrics(out);
    }
}
