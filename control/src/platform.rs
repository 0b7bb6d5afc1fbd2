//! What the control API needs of the rest of Samovar: hosts that check and compile, gateways that route, logs and
//! statistics. In one process the `samovar` binary answers all of it directly.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

use samovar_cluster::{Jobs, Queues};
use samovar_model::api::ComponentInfo;
use samovar_model::{Digest, FunctionName, FunctionStats, HostId, HostIntent, HostStats, LogLine, Member, Settings};

/// Why a component or its settings cannot be deployed, in words for the person who deploys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The component itself: not a component, an unknown import, an invalid body, …
    #[error("{0}")]
    Component(String),
    /// The host cannot tell now: no room, a disk error. Trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What the component is.
    pub component: ComponentInfo,
    /// How long compiling took, in milliseconds; 0 when it was compiled before.
    pub compile_millis: u64,
}

/// The rest of Samovar, as the control API sees it.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// Where functions are called, as in `http://127.0.0.1:8080`.
    fn gateway_url(&self) -> String;

    /// Whether the platform can take requests; why not otherwise.
    fn ready(&self) -> Result<(), String>;

    /// Checks that the component in `file` can run, and compiles it so that its first call need not wait.
    async fn check(&self, digest: Digest, file: &Path) -> Result<Checked, Refusal>;

    /// Checks that an instance of a compiled component starts under these settings.
    async fn rehearse(&self, digest: Digest, settings: &Settings) -> Result<(), Refusal>;

    /// Waits until requests are routed by the registry's snapshot of this version, or a newer one: on one machine always, in a
    /// cluster, where that may take long, only if `everywhere` is asked for. Answers the gateways and hosts that have not said so in time.
    async fn routed(&self, version: u64, everywhere: bool) -> Vec<String>;

    /// A function's statistics, or `None` when it has not been called on any host.
    async fn stats(&self, name: &FunctionName) -> Option<FunctionStats>;

    /// The statistics of every function that has been called, by name.
    async fn all_stats(&self) -> BTreeMap<FunctionName, FunctionStats>;

    /// The store of jobs, if there is one.
    fn jobs(&self) -> Option<Arc<dyn Jobs>> {
        None
    }

    /// The queues that functions can subscribe to, if there are any.
    fn queues(&self) -> Option<Arc<dyn Queues>> {
        None
    }

    /// The hosts of the cluster; `None` when the platform is one process.
    fn hosts(&self) -> Option<Vec<Member>> {
        None
    }

    /// Asks a host for something. It need not be there now.
    async fn ask_host(&self, _host: &HostId, _intent: HostIntent) -> Result<(), Refusal> {
        Err(Refusal::Unavailable("this platform is one process".to_owned()))
    }

    /// How much of what the host has is in use; `None` when the platform is not one host.
    fn host(&self) -> Option<HostStats> {
        None
    }

    /// A function's log lines from `since` on, oldest first, and if `follow` then those to come, without an end.
    async fn logs(&self, name: &FunctionName, since: Option<Timestamp>, follow: bool) -> BoxStream<'static, LogLine>;

    /// Further metrics in Prometheus text form, to stand after the control API's own.
    fn metrics(&self, out: &mut String);
}
