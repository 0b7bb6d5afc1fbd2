//! `samovar up`: gateway, host and control API in one process. Alone, with their state in one directory; or, with `--join`, as
//! one machine of a cluster.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use samovar_cluster::embedded::{DataDir, EmbeddedArtifacts, EmbeddedJobs, EmbeddedKeyValue, EmbeddedRegistry};
use samovar_cluster::redis::RedisKeyValue;
use samovar_cluster::{Artifacts, Jobs, KeyValue, Registry, garbage};
use samovar_control::{Control, ControlConfig, Stores};
use samovar_gateway::{Gateway, service::url};
use samovar_model::Span;
use samovar_runtime::{Host, Reach};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::location::default_data_dir;
use crate::serve::calls::OtherFunctions;
use crate::serve::control_role::{ControlOptions, ControlRole};
use crate::serve::gateway_role::{BalanceOptions, GatewayRole, GatewaySettings};
use crate::serve::host_role::{HostIdentity, HostRole, start_host};
use crate::serve::limits::{self, Limits};
use crate::serve::local::{self, LocalHost};
use crate::serve::local_platform::LocalPlatform;
use crate::serve::member::Member;
use crate::serve::{
    Endpoints, GatewayOptions, HostOptions, JobOptions, LogOptions, MemberOptions, SecretOptions, Signals, bind,
};

/// Run the platform on this machine
///
/// Gateway, host and control API run in one process; functions, their code and their logs are kept in the data directory.
/// With --join the three belong to a cluster, which keeps the functions, and spreads requests over its hosts.
/// Ctrl-C stops it: requests under way are finished first, a second Ctrl-C does not wait for them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  samovar up
  samovar up --listen 0.0.0.0:80 --data-dir /var/lib/samovar
  samovar up --listen 127.0.0.1:0 --control-listen 127.0.0.1:0   pick free ports
  samovar up --join nats://10.0.0.1:4222 --cluster-secret-file secret --host-listen 10.0.0.7:7070")]
pub(crate) struct UpArgs {
    /// Where functions are called; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", env = "SAMOVAR_LISTEN", hide_env_values = true)]
    listen: SocketAddr,
    /// Where the control API listens; port 0 picks a free one
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8081",
        env = "SAMOVAR_CONTROL_LISTEN",
        hide_env_values = true
    )]
    control_listen: SocketAddr,
    /// With --join: where other machines' gateways reach this one's host; port 0 picks a free one
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:7070",
        env = "SAMOVAR_HOST_LISTEN",
        hide_env_values = true
    )]
    host_listen: SocketAddr,
    /// How long requests under way may take to finish after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    drain_timeout: Span,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    gateway: GatewayOptions,
    #[command(flatten)]
    jobs: JobOptions,
    #[command(flatten)]
    logging: LogOptions,
    #[command(flatten)]
    secrets: SecretOptions,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    identity: HostIdentity,
    #[command(flatten)]
    balance: BalanceOptions,
    #[command(flatten)]
    control: ControlOptions,
}

/// Everything that runs on one machine alone.
struct Node {
    host: Host,
    gateway: Gateway<LocalHost>,
    control: Control,
    platform: Arc<LocalPlatform>,
    registry: Arc<EmbeddedRegistry>,
    data_dir: DataDir,
    jobs_at_once: usize,
}

/// Runs until a signal, and then to the end of what is under way.
pub(crate) async fn run(args: UpArgs, global: &Global) -> anyhow::Result<()> {
    args.logging.begin()?;
    let signals = Signals::new()?;
    limits::raise_open_files();
    limits::small_pages();
    if args.member.wants_cluster()? {
        return run_in_cluster(args, global, signals).await;
    }
    let limits = Limits::look(&args.host, args.gateway.max_connections)?;
    let data_dir = global.data_dir.clone().unwrap_or_else(default_data_dir);
    let data_dir = DataDir::open(data_dir)?;
    let listener = bind(args.listen, "--listen").await?;
    let control_listener = bind(args.control_listen, "--control-listen").await?;
    let gateway_url = url(listener.local_addr()?);
    let node = start(&args, &limits, data_dir, &gateway_url).await?;
    node.run(listener, control_listener, args.drain_timeout, signals).await
}

async fn start(args: &UpArgs, limits: &Limits, data_dir: DataDir, gateway_url: &str) -> anyhow::Result<Node> {
    let registry = Arc::new(EmbeddedRegistry::open(&data_dir)?);
    let artifacts: Arc<dyn Artifacts> = Arc::new(EmbeddedArtifacts::open(&data_dir)?);
    let collected = garbage::collect(&*registry, &*artifacts).await?;
    if collected.removed > 0 {
        tracing::info!(removed = collected.removed, "artifacts of unfinished deploys removed");
    }
    let secrets = args.secrets.on_one_machine(&data_dir)?;
    let key_value: Arc<dyn KeyValue> = match args.member.redis()? {
        Some(config) => Arc::new(RedisKeyValue::open(&config).await?),
        None => Arc::new(EmbeddedKeyValue::open(&data_dir)?),
    };
    let functions = OtherFunctions::new();
    let reach = Reach {
        key_value: Some(Arc::clone(&key_value)),
        functions: Some(Arc::clone(&functions) as _),
        secrets: Some(Arc::clone(&secrets)),
    };
    let host = start_host(limits, &data_dir, Arc::clone(&artifacts), reach)?;
    let called = functions.follow(LocalHost(host.clone()), registry.watch());
    let snapshot = Arc::clone(&registry.watch().borrow());
    let revisions = snapshot.functions.values().flat_map(|function| &function.revisions);
    let code: Vec<_> = revisions.map(|revision| (revision.artifact, revision.kind)).collect();
    host.collect_code(&code)?;
    let jobs: Arc<dyn Jobs> = Arc::new(EmbeddedJobs::open(&data_dir, args.jobs.max_bytes.as_bytes())?);
    let gateway = Gateway::with_jobs(args.gateway.config(), LocalHost(host.clone()), Arc::clone(&jobs));
    let platform = Arc::new(LocalPlatform::new(host.clone(), gateway.clone(), called, gateway_url.to_owned(), jobs));
    let token = data_dir.token()?;
    let stores = Stores { registry: Arc::clone(&registry) as _, artifacts, key_value: Some(key_value), secrets };
    let control = Control::new(ControlConfig::new(token), stores, Arc::clone(&platform) as _);
    let jobs_at_once = args.jobs.at_once.get();
    Ok(Node { host, gateway, control, platform, registry, data_dir, jobs_at_once })
}

impl Node {
    async fn run(
        self,
        listener: TcpListener,
        control_listener: TcpListener,
        drain_timeout: Span,
        mut signals: Signals,
    ) -> anyhow::Result<()> {
        let (gateway_url, control_url) = (url(listener.local_addr()?), url(control_listener.local_addr()?));
        self.gateway.apply(&Arc::clone(&self.registry.watch().borrow()));
        tokio::spawn({
            let (gateway, snapshots) = (self.gateway.clone(), self.registry.watch());
            async move { gateway.follow(snapshots).await }
        });
        tokio::spawn(local::forget_deleted(self.host.clone(), self.registry.watch()));
        let (stop, stop_control) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn({
            let (gateway, stop) = (self.gateway.clone(), stop.clone());
            async move { gateway.serve(listener, stop).await }
        });
        let controlling = tokio::spawn(self.control.serve(control_listener, stop_control.clone().cancelled_owned()));
        let running = tokio::spawn({
            let (gateway, snapshots, stop) = (self.gateway.clone(), self.registry.watch(), stop.clone());
            async move {
                let schedules = gateway.keep_schedules(snapshots, stop.clone());
                tokio::join!(gateway.run_jobs(self.jobs_at_once, stop.clone()), schedules);
            }
        });
        self.platform.ready();
        let endpoints = Endpoints::default().with("gateway", &gateway_url, "").with("control", &control_url, "");
        endpoints.announce(&self.data_dir)?;

        signals.next().await;
        self.platform.draining();
        stop.cancel();
        let drained = async {
            // Jobs that are running are finished; those that are not by the end of the drain are due again at the next start.
            drop(tokio::join!(serving, running));
            self.host.drain().await;
        };
        signals.drained(drain_timeout, drained).await?;
        stop_control.cancel();
        let controlled = tokio::time::timeout(Duration::from_secs(2), controlling).await;
        if controlled.is_err() {
            tracing::warn!("calls to the control API were cut off");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The three roles on one machine of a cluster.
async fn run_in_cluster(args: UpArgs, global: &Global, mut signals: Signals) -> anyhow::Result<()> {
    let data_dir: Option<&Path> = global.data_dir.as_deref();
    let membership = args.member.membership()?.with_secrets(args.secrets.in_cluster()?);
    let limits = Limits::look(&args.host, args.gateway.max_connections)?;
    let host_listener = bind(args.host_listen, "--host-listen").await?;
    let listener = bind(args.listen, "--listen").await?;
    let control_listener = bind(args.control_listen, "--control-listen").await?;
    let (gateway_url, control_url) = (url(listener.local_addr()?), url(control_listener.local_addr()?));
    let address = args.identity.address(host_listener.local_addr()?)?;
    let gateway_address = args.balance.address(listener.local_addr()?)?;
    let member = Member::join(membership, data_dir).await?;
    let mut host = HostRole::start(&member, &args.identity, address, &limits, host_listener).await?;
    let settings = GatewaySettings { gateway: &args.gateway, balance: &args.balance, jobs: &args.jobs };
    let mut gateway = GatewayRole::start(&member, &settings, gateway_address, listener).await?;
    let control = ControlRole::start(&member, &args.control, global.token.as_deref(), control_listener).await?;
    let endpoints = Endpoints::default()
        .with("host", &format!("http://{}", host.address), host.name.as_str())
        .with("gateway", &gateway_url, "")
        .with("control", &control_url, "");
    endpoints.announce(&member.data_dir)?;

    let replaced = tokio::select! {
        () = signals.next() => false,
        () = host.replaced() => true,
    };
    let name = host.name.clone();
    // Together: a long answer at the gateway must not keep the host from saying that it drains. The gateway stops taking
    // requests a moment before the host does, and what it has given to this host is finished like any other.
    let drained = async {
        tokio::join!(host.drain(), gateway.drain());
    };
    let drained = signals.drained(args.drain_timeout, drained).await;
    tokio::join!(host.leave(), gateway.leave());
    drained?;
    control.drain().await;
    tracing::info!("stopped");
    if replaced { Err(crate::cluster::host::name_taken(&name)) } else { Ok(()) }
}
