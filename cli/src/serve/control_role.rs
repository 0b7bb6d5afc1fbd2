//! The control API of a process that belongs to a cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use samovar_cluster::{Artifacts, Registry, garbage};
use samovar_control::{Control, ControlConfig, Stores};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::member::Member;
use super::remote_platform::RemotePlatform;

/// How often what nothing refers to is removed from the store of artifacts; one control process at a time does it.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);
/// How long calls of the control API may take to end when it stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the control API tells of the cluster.
#[derive(Debug, Args)]
pub(crate) struct ControlOptions {
    /// Where functions are called, as in https://functions.example: what clients are told [default: the address of a gateway]
    #[arg(long, value_name = "URL", env = "SAMOVAR_GATEWAY_URL", hide_env_values = true)]
    pub(crate) gateway_url: Option<String>,
}

/// A control API that runs.
pub(crate) struct ControlRole {
    stop: CancellationToken,
    listener: JoinHandle<std::io::Result<()>>,
}

impl ControlRole {
    /// Starts the API, with the token that was given or the data directory's.
    pub(crate) async fn start(
        member: &Member,
        options: &ControlOptions,
        token: Option<&str>,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let token = token.map_or_else(|| member.data_dir.token(), |token| Ok(token.to_owned()))?;
        let registry: Arc<dyn Registry> = Arc::clone(&member.registry) as _;
        let artifacts: Arc<dyn Artifacts> = Arc::clone(&member.artifacts) as _;
        let platform = Arc::new(RemotePlatform::new(member, options.gateway_url.clone()));
        let secrets = member.secrets.clone().context("the control API needs the cluster's secrets")?;
        let key_value = Some(member.key_value().await?);
        let stores = Stores { registry: Arc::clone(&registry), artifacts: Arc::clone(&artifacts), key_value, secrets };
        let control = Control::new(ControlConfig::new(token), stores, platform);
        tokio::spawn(collect(registry, artifacts));
        let stop = CancellationToken::new();
        let listener = tokio::spawn(control.serve(listener, stop.clone().cancelled_owned()));
        Ok(Self { stop, listener })
    }

    /// Takes nothing new, and ends.
    pub(crate) async fn drain(self) {
        self.stop.cancel();
        match tokio::time::timeout(FAREWELL, self.listener).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "the control API's listener failed"),
            Ok(Err(error)) => tracing::error!(%error, "the control API's listener crashed"),
            Err(_) => tracing::warn!("calls to the control API were cut off"),
        }
    }
}

/// Removes artifacts that no revision refers to, now and then.
async fn collect(registry: Arc<dyn Registry>, artifacts: Arc<dyn Artifacts>) {
    loop {
        // Not all control processes at once, and not at the start of a cluster.
        tokio::time::sleep(COLLECT_EVERY.mul_f64(0.5 + fastrand::f64())).await;
        match garbage::collect(&*registry, &*artifacts).await {
            Ok(collected) if collected.removed > 0 => {
                tracing::info!(removed = collected.removed, "artifacts that nothing refers to removed");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "artifacts that nothing refers to are still there"),
        }
    }
}
