//! `samovar drain` and `samovar undrain`: what a host is asked for.

use std::time::Duration;

use clap::Args;
use samovar_model::HostState;
use samovar_model::api::{HostList, HostSummary};

use crate::args::Global;
use crate::console::Console;
use crate::control::Control;

/// How often the hosts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// By then a host has told anew what it has in flight.
const RENEWAL: Duration = Duration::from_secs(5);
/// How long a host that is not there is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Have a host finish what it has, and give it nothing new
///
/// The host goes on running, and takes nothing until `samovar undrain`; it keeps to that over a restart.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar drain host-7         before its machine is taken down
  samovar drain host-7 --wait  and until nothing is running there")]
pub(crate) struct DrainArgs {
    /// The host's name, as `samovar hosts` shows it
    #[arg(value_name = "HOST")]
    host: String,
    /// Wait until the host has nothing in flight
    #[arg(long)]
    wait: bool,
}

/// Have a host that was drained take requests again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar undrain host-7")]
pub(crate) struct UndrainArgs {
    /// The host's name, as `samovar hosts` shows it
    #[arg(value_name = "HOST")]
    host: String,
}

pub(crate) async fn drain(args: &DrainArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    control.ask(&format!("/v1/hosts/{}/drain", args.host)).await?;
    let is_draining = |host: &HostSummary| host.state != HostState::Ready;
    let host = until(&control, &args.host, PATIENCE, is_draining).await?;
    if !args.wait {
        console.line(format_args!("{}: {}, {} in flight", host.name, host.state, host.in_flight))?;
        return Ok(());
    }
    // What it told when it began to drain may be older than the last request that a gateway gave it.
    tokio::time::sleep(RENEWAL).await;
    let host = until(&control, &args.host, Duration::MAX, |host| is_draining(host) && host.in_flight == 0).await?;
    console.line(format_args!("{}: {}, nothing in flight", host.name, host.state))?;
    Ok(())
}

pub(crate) async fn undrain(args: &UndrainArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    control.ask(&format!("/v1/hosts/{}/undrain", args.host)).await?;
    let list: HostList = control.get("/v1/hosts").await?;
    if !list.hosts.iter().any(|host| host.name.as_str() == args.host) {
        console.line(format_args!("{}: not there now; it takes requests when it joins", args.host))?;
        return Ok(());
    }
    let host = until(&control, &args.host, PATIENCE, |host| host.state != HostState::Draining).await?;
    console.line(format_args!("{}: {}", host.name, host.state))?;
    Ok(())
}

/// Waits until the host says of itself what it was asked for.
async fn until(
    control: &Control,
    name: &str,
    patience: Duration,
    is: impl Fn(&HostSummary) -> bool,
) -> anyhow::Result<HostSummary> {
    let begun = tokio::time::Instant::now();
    loop {
        let list: HostList = control.get("/v1/hosts").await?;
        match list.hosts.into_iter().find(|host| host.name.as_str() == name) {
            Some(host) if is(&host) => return Ok(host),
            Some(host) if begun.elapsed() >= patience => anyhow::bail!(
                "host `{name}` was asked, and is still {} after {patience:?}: it does so as soon as it reaches NATS",
                host.state
            ),
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            None => anyhow::bail!("host `{name}` is not there any more"),
        }
    }
}
