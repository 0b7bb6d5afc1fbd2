//! What a host or a gateway tells of itself, where it is asked to.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use samovar_control::status::{self, Status};
use samovar_gateway::Gateway;
use samovar_gateway::remote::RemoteHosts;
use samovar_runtime::Host;

use super::announce::bind;

/// Where a process tells of itself.
#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    /// Where /healthz, /readyz and /metrics are answered, to everyone who reaches it [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "SAMOVAR_STATUS_LISTEN", hide_env_values = true)]
    status_listen: Option<SocketAddr>,
}

impl StatusOptions {
    /// Begins to tell, for as long as the process lives.
    pub(crate) async fn begin(&self, status: impl Status) -> anyhow::Result<()> {
        let Some(address) = self.status_listen else { return Ok(()) };
        let listener = bind(address, "--status-listen").await?;
        tokio::spawn(status::serve(listener, Arc::new(status), std::future::pending()));
        Ok(())
    }
}

/// A host's.
pub(crate) struct HostStatus(pub(crate) Host);

impl Status for HostStatus {
    fn ready(&self) -> Result<(), String> {
        if self.0.is_draining() { Err("draining".to_owned()) } else { Ok(()) }
    }

    fn metrics(&self, out: &mut String) {
        self.0.metrics(out);
    }
}

/// A gateway's.
pub(crate) struct GatewayStatus {
    pub(crate) gateway: Gateway<RemoteHosts>,
    pub(crate) remote: RemoteHosts,
}

impl Status for GatewayStatus {
    fn ready(&self) -> Result<(), String> {
        if self.remote.is_reached() { Ok(()) } else { Err("no host is reached".to_owned()) }
    }

    fn metrics(&self, out: &mut String) {
        self.gateway.metrics(out);
        self.remote.metrics(out);
    }
}
