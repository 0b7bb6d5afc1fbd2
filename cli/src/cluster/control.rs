//! `samovar control`: the control API of a cluster.

use std::net::SocketAddr;

use clap::Args;
use samovar_gateway::service::url;

use crate::args::Global;
use crate::serve::control_role::{ControlOptions, ControlRole};
use crate::serve::limits;
use crate::serve::member::Member;
use crate::serve::{Endpoints, LogOptions, MemberOptions, SecretOptions, Signals, bind};

/// Run the control API of a cluster
///
/// Any number of them run side by side: `samovar deploy` and the other commands work with each. The token is the one in the
/// data directory, made at the first start, or the one given with --token or SAMOVAR_TOKEN: the same for all of them, as a rule.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  samovar control --join nats://10.0.0.1:4222 --cluster-secret-file secret --listen 10.0.0.5:8081 --data-dir /var/lib/samovar")]
pub(crate) struct ControlArgs {
    /// Where the control API listens; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", env = "SAMOVAR_LISTEN", hide_env_values = true)]
    listen: SocketAddr,
    #[command(flatten)]
    control: ControlOptions,
    #[command(flatten)]
    logging: LogOptions,
    #[command(flatten)]
    secrets: SecretOptions,
    #[command(flatten)]
    member: MemberOptions,
}

/// Runs until a signal.
pub(crate) async fn run(args: ControlArgs, global: &Global) -> anyhow::Result<()> {
    args.logging.begin()?;
    let membership = args.member.membership()?.with_secrets(args.secrets.in_cluster()?);
    let mut signals = Signals::new()?;
    limits::raise_open_files();
    let listener = bind(args.listen, "--listen").await?;
    let url = url(listener.local_addr()?);
    let member = Member::join(membership, global.data_dir.as_deref()).await?;
    let control = ControlRole::start(&member, &args.control, global.token.as_deref(), listener).await?;
    Endpoints::default().with("control", &url, "").announce(&member.data_dir)?;
    signals.next().await;
    control.drain().await;
    tracing::info!("stopped");
    Ok(())
}
