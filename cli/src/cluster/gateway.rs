//! `samovar gateway`: takes callers' requests to the hosts of a cluster.

use std::net::SocketAddr;

use clap::Args;
use samovar_gateway::service::url;
use samovar_model::Span;

use crate::args::Global;
use crate::serve::gateway_role::{BalanceOptions, GatewayRole, GatewaySettings};
use crate::serve::limits;
use crate::serve::member::Member;
use crate::serve::{Endpoints, GatewayOptions, JobOptions, LogOptions, MemberOptions, Signals, StatusOptions, bind};

/// Take callers' requests to the hosts of a cluster
///
/// Any number of gateways run side by side, behind DNS or a load balancer: each knows all functions and all hosts.
/// They also run the cluster's jobs: requests that are answered later, and those that schedules make.
/// Ctrl-C or SIGTERM drains it: it takes no new connections and jobs, what is under way is answered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  samovar gateway --join nats://10.0.0.1:4222 --cluster-secret-file secret --listen 0.0.0.0:80 --data-dir /var/lib/samovar")]
pub(crate) struct GatewayArgs {
    /// Where functions are called; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", env = "SAMOVAR_LISTEN", hide_env_values = true)]
    listen: SocketAddr,
    /// How long requests under way may take to finish after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    drain_timeout: Span,
    #[command(flatten)]
    gateway: GatewayOptions,
    #[command(flatten)]
    jobs: JobOptions,
    #[command(flatten)]
    logging: LogOptions,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    balance: BalanceOptions,
    #[command(flatten)]
    status: StatusOptions,
}

/// Runs until a signal, and then to the end of what is under way.
pub(crate) async fn run(args: GatewayArgs, global: &Global) -> anyhow::Result<()> {
    args.logging.begin()?;
    let membership = args.member.membership()?;
    let mut signals = Signals::new()?;
    limits::raise_open_files();
    let listener = bind(args.listen, "--listen").await?;
    let url = url(listener.local_addr()?);
    let address = args.balance.address(listener.local_addr()?)?;
    let member = Member::join(membership, global.data_dir.as_deref()).await?;
    let settings = GatewaySettings { gateway: &args.gateway, balance: &args.balance, jobs: &args.jobs };
    let mut gateway = GatewayRole::start(&member, &settings, address, listener).await?;
    args.status.begin(gateway.status()).await?;
    Endpoints::default().with("gateway", &url, "").announce(&member.data_dir)?;
    signals.next().await;
    let drained = signals.drained(args.drain_timeout, gateway.drain()).await;
    gateway.leave().await;
    drained?;
    tracing::info!("stopped");
    Ok(())
}
