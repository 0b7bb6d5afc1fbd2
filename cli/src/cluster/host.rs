//! `samovar host`: runs functions for the gateways of a cluster.

use std::net::SocketAddr;

use clap::Args;
use samovar_model::{HostId, Span};

use crate::args::Global;
use crate::serve::host_role::{HostIdentity, HostRole};
use crate::serve::limits::{self, Limits};
use crate::serve::member::Member;
use crate::serve::status_role::HostStatus;
use crate::serve::{Endpoints, HostOptions, LogOptions, MemberOptions, SecretOptions, Signals, StatusOptions, bind};

/// Run functions for the gateways of a cluster
///
/// A host joins through NATS, takes requests from gateways directly, and fetches and compiles the functions that it is given.
/// Ctrl-C or SIGTERM drains it: gateways give it nothing new, what is under way is finished.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  samovar host --join nats://10.0.0.1:4222 --cluster-secret-file secret --listen 10.0.0.7:7070 --data-dir /var/lib/samovar
  samovar host --join nats://10.0.0.1:4222 --cluster-secret-file secret --listen 0.0.0.0:7070 --advertise 10.0.0.7")]
pub(crate) struct HostArgs {
    /// Where gateways send requests; only members of the cluster are let in; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070", env = "SAMOVAR_LISTEN", hide_env_values = true)]
    listen: SocketAddr,
    /// How long requests under way may take to finish after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    drain_timeout: Span,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    logging: LogOptions,
    #[command(flatten)]
    secrets: SecretOptions,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    identity: HostIdentity,
    #[command(flatten)]
    status: StatusOptions,
}

/// Connections to a host are few: gateways' and members'.
const CONNECTIONS: usize = 1_000;

/// Runs until a signal, and then to the end of what is under way.
pub(crate) async fn run(args: HostArgs, global: &Global) -> anyhow::Result<()> {
    args.logging.begin()?;
    let membership = args.member.membership()?.with_secrets(args.secrets.in_cluster()?);
    let mut signals = Signals::new()?;
    limits::raise_open_files();
    limits::small_pages();
    let limits = Limits::look(&args.host, CONNECTIONS)?;
    let listener = bind(args.listen, "--listen").await?;
    let address = args.identity.address(listener.local_addr()?)?;
    let member = Member::join(membership, global.data_dir.as_deref()).await?;
    let mut host = HostRole::start(&member, &args.identity, address, &limits, listener).await?;
    args.status.begin(HostStatus(host.host.clone())).await?;
    let url = format!("http://{}", host.address);
    Endpoints::default().with("host", &url, host.name.as_str()).announce(&member.data_dir)?;
    let replaced = tokio::select! {
        () = signals.next() => false,
        () = host.replaced() => true,
    };
    let name = host.name.clone();
    let drained = signals.drained(args.drain_timeout, host.drain()).await;
    host.leave().await;
    drained?;
    tracing::info!("stopped");
    if replaced { Err(name_taken(&name)) } else { Ok(()) }
}

/// Why a host stops that nobody has stopped.
pub(crate) fn name_taken(name: &HostId) -> anyhow::Error {
    anyhow::anyhow!(
        "another process has joined as host `{name}`, and this one has stopped: give each its own --data-dir, or --name"
    )
}
