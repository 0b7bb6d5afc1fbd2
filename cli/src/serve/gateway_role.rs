//! The gateway of a process that belongs to a cluster: passes requests to hosts elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use samovar_cluster::{GatewayLease, Gateways as _, Membership as _, Registry as _};
use samovar_gateway::balance::Policy;
use samovar_gateway::remote::{RemoteConfig, RemoteHosts};
use samovar_gateway::{Gateway, GatewayConfig};
use samovar_model::{GatewayId, GatewayRecord, Span};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::host_role::{advertised, machine_name};
use super::job_options::JobOptions;
use super::member::Member;
use super::queues;
use super::status_role::GatewayStatus;

/// How long a gateway that starts waits for a host before it takes requests all the same.
const FIRST_HOST: Duration = Duration::from_secs(1);

/// What a gateway takes from its callers.
#[derive(Debug, Args)]
pub(crate) struct GatewayOptions {
    /// The most connections open at once; more wait
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000)]
    pub(crate) max_connections: usize,
    /// How long a request's head may take
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    header_timeout: Span,
    /// How long a connection may be open without a request
    #[arg(long, value_name = "SPAN", default_value = "75s")]
    idle_timeout: Span,
}

/// How a gateway belongs to its cluster, and chooses among hosts.
#[derive(Debug, Args)]
pub(crate) struct BalanceOptions {
    /// Where callers reach this gateway, as HOST:PORT or HOST, for `samovar deploy` to show [default: where it listens]
    #[arg(long, value_name = "ADDR", env = "SAMOVAR_GATEWAY_ADVERTISE", hide_env_values = true)]
    gateway_advertise: Option<String>,
    /// How the host of a request is chosen: adaptive, hash, p2c, fewest_connections, round_robin or random
    #[arg(long, value_name = "NAME", default_value = "adaptive", env = "SAMOVAR_POLICY", hide_env_values = true)]
    policy: Policy,
    /// Connections to each host; each is one core's work at either end [default: as many as there are cores, up to 4]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    host_connections: Option<u16>,
    /// Send a request that only reads to a second host as well if there is no answer after this long [default: never]
    #[arg(long, value_name = "SPAN")]
    hedge_after: Option<Span>,
}

impl BalanceOptions {
    /// Where callers reach this gateway, which listens here: that is only shown to people, so that it need not be reachable.
    pub(crate) fn address(&self, listens: SocketAddr) -> anyhow::Result<String> {
        match &self.gateway_advertise {
            None if listens.ip().is_unspecified() => Ok(format!("{}:{}", machine_name(), listens.port())),
            given => advertised(given.as_deref(), listens),
        }
    }

    fn config(&self) -> RemoteConfig {
        let default = RemoteConfig::default();
        let connections_per_host = self.host_connections.map_or(default.connections_per_host, usize::from);
        let hedge_after = self.hedge_after.map(|span| span.as_duration());
        RemoteConfig { policy: self.policy, connections_per_host, hedge_after, ..default }
    }
}

impl GatewayOptions {
    /// As the gateway wants it.
    pub(crate) fn config(&self) -> GatewayConfig {
        GatewayConfig {
            max_connections: self.max_connections,
            header_read_timeout: self.header_timeout.as_duration(),
            idle_timeout: self.idle_timeout.as_duration(),
            ..GatewayConfig::default()
        }
    }
}

/// All that a gateway is told.
pub(crate) struct GatewaySettings<'a> {
    pub(crate) gateway: &'a GatewayOptions,
    pub(crate) balance: &'a BalanceOptions,
    pub(crate) jobs: &'a JobOptions,
}

/// A gateway that runs.
pub(crate) struct GatewayRole {
    gateway: Gateway<RemoteHosts>,
    remote: RemoteHosts,
    /// Holds the lease until `leave`.
    telling: JoinHandle<()>,
    leave: CancellationToken,
    stop: CancellationToken,
    listener: JoinHandle<()>,
    queues: JoinHandle<()>,
    /// Runs jobs, and keeps schedules.
    working: JoinHandle<()>,
}

impl GatewayRole {
    /// Routes by the registry that the member knows, and joins.
    pub(crate) async fn start(
        member: &Member,
        settings: &GatewaySettings<'_>,
        address: String,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let GatewaySettings { gateway: options, balance, jobs } = settings;
        let id = GatewayId::of_run(&machine_name(), fastrand::u64(..))?;
        let remote = RemoteHosts::new(balance.config(), member.connector.clone());
        let store = member.jobs_run_as(&id, jobs.max_bytes.as_bytes());
        let gateway = Gateway::with_jobs(options.config(), remote.clone(), store);
        gateway.apply(&Arc::clone(&member.registry.watch().borrow()));
        let hosts = member.membership.watch();
        tokio::spawn({
            let remote = remote.clone();
            async move { remote.follow(hosts).await }
        });
        remote.reached(FIRST_HOST).await;
        let lease = member.gateways.join(record(id, address, *gateway.versions().borrow())).await;
        tokio::spawn({
            let (gateway, snapshots) = (gateway.clone(), member.registry.watch());
            async move { gateway.follow(snapshots).await }
        });
        let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
        let telling = tokio::spawn(tell(lease, gateway.versions(), leave.clone()));
        let working = tokio::spawn({
            let (gateway, snapshots, stop) = (gateway.clone(), member.registry.watch(), stop.clone());
            let at_once = jobs.at_once.get();
            async move {
                let schedules = gateway.keep_schedules(snapshots, stop.clone());
                tokio::join!(gateway.run_jobs(at_once, stop.clone()), schedules);
            }
        });
        let listener = tokio::spawn({
            let (gateway, stop) = (gateway.clone(), stop.clone());
            async move { gateway.serve(listener, stop).await }
        });
        let queues = queues::take(member, &gateway, &stop);
        Ok(Self { gateway, remote, telling, leave, stop, listener, working, queues })
    }

    /// What it tells of itself.
    pub(crate) fn status(&self) -> GatewayStatus {
        GatewayStatus { gateway: self.gateway.clone(), remote: self.remote.clone() }
    }

    /// Takes nothing new, answers what is under way, and finishes the jobs and messages that are running.
    pub(crate) async fn drain(&mut self) {
        self.stop.cancel();
        let (listened, worked, queued) = tokio::join!(&mut self.listener, &mut self.working, &mut self.queues);
        if let Err(error) = listened {
            tracing::error!(%error, "the gateway's listener crashed");
        }
        if let Err(error) = worked {
            tracing::error!(%error, "what runs jobs crashed");
        }
        if let Err(error) = queued {
            tracing::error!(%error, "the task that takes messages crashed");
        }
    }

    /// Gives the lease back. Jobs that are still running are run again, by others.
    pub(crate) async fn leave(self) {
        self.leave.cancel();
        if let Err(error) = self.telling.await {
            tracing::error!(%error, "the lease's task crashed");
        }
    }
}

/// Tells by which version the gateway routes, until it leaves.
async fn tell(lease: Box<dyn GatewayLease>, mut versions: watch::Receiver<u64>, leave: CancellationToken) {
    loop {
        lease.routed(*versions.borrow_and_update());
        tokio::select! {
            changed = versions.changed() => {
                if changed.is_err() {
                    break;
                }
            }
            () = leave.cancelled() => break,
        }
    }
    lease.leave().await;
}

fn record(id: GatewayId, address: String, routed: u64) -> GatewayRecord {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    GatewayRecord { id, address, version, started: Timestamp::now(), routed }
}
