//! `samovar up`: gateway, host and control API in one process, with their state in one directory.

mod limits;
mod local;
mod platform;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use samovar_cluster::embedded::{DataDir, EmbeddedArtifacts, EmbeddedRegistry};
use samovar_cluster::{Artifacts, Registry, garbage};
use samovar_control::{Control, ControlConfig};
use samovar_gateway::{Gateway, GatewayConfig, service::url};
use samovar_model::{ByteSize, Span};
use samovar_runtime::{Host, HostConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::location::default_data_dir;

use limits::Limits;
use local::LocalHost;
use platform::LocalPlatform;

/// Run the platform on this machine
///
/// Gateway, host and control API run in one process; functions, their code and their logs are kept in the data directory.
/// Ctrl-C stops it: requests under way are finished first, a second Ctrl-C does not wait for them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  samovar up
  samovar up --listen 0.0.0.0:80 --data-dir /var/lib/samovar
  samovar up --listen 127.0.0.1:0 --control-listen 127.0.0.1:0   pick free ports")]
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
    /// How long requests under way may take to finish after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    drain_timeout: Span,
    /// The most instances alive at once; what the machine cannot hold is left out, with a warning that says what to change
    /// [default: what the machine allows, up to 10000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    max_instances: Option<u32>,
    /// The most memory that the process is to have; past it idle instances go, then code, then invocations are turned away
    /// [default: that of the cgroup or the machine, less an eighth]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<ByteSize>,
    /// The most compiled code kept loaded; past it the code that is worth least goes, and is loaded again at its next call
    /// [default: a quarter of the memory budget]
    #[arg(long, value_name = "SIZE")]
    code_budget: Option<ByteSize>,
    /// The most connections open at once; more wait
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000)]
    max_connections: usize,
    /// How long a request's head may take
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    header_timeout: Span,
    /// How long a connection may be open without a request
    #[arg(long, value_name = "SPAN", default_value = "75s")]
    idle_timeout: Span,
    /// What is logged, as in `debug` or `info,samovar_gateway=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "SAMOVAR_LOG", hide_env_values = true)]
    log: String,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
}

/// Everything that runs.
struct Node {
    host: Host,
    gateway: Gateway<LocalHost>,
    control: Control,
    platform: Arc<LocalPlatform>,
    registry: Arc<EmbeddedRegistry>,
    data_dir: DataDir,
}

/// Runs until a signal, and then to the end of what is under way.
pub(crate) async fn run(args: UpArgs, data_dir: Option<&Path>) -> anyhow::Result<()> {
    log_to_stderr(&args)?;
    let mut signals = Signals::new()?;
    limits::raise_open_files();
    limits::small_pages();
    let limits = Limits::look(&args);
    let data_dir = data_dir.map_or_else(default_data_dir, Path::to_owned);
    let data_dir = DataDir::open(data_dir)?;
    let listener = bind(args.listen, "--listen").await?;
    let control_listener = bind(args.control_listen, "--control-listen").await?;
    let (gateway_url, control_url) = (url(listener.local_addr()?), url(control_listener.local_addr()?));

    let node = start(&args, &limits, data_dir, &gateway_url).await?;
    node.gateway.apply(&Arc::clone(&node.registry.watch().borrow()));
    tokio::spawn({
        let (gateway, snapshots) = (node.gateway.clone(), node.registry.watch());
        async move { gateway.follow(snapshots).await }
    });
    tokio::spawn(local::forget_deleted(node.host.clone(), node.registry.watch()));

    let (stop, stop_control) = (CancellationToken::new(), CancellationToken::new());
    let mut serving = tokio::spawn({
        let (gateway, stop) = (node.gateway.clone(), stop.clone());
        async move { gateway.serve(listener, stop).await }
    });
    let controlling =
        tokio::spawn(node.control.clone().serve(control_listener, stop_control.clone().cancelled_owned()));
    node.platform.ready();
    announce(&node.data_dir, &gateway_url, &control_url)?;

    signals.next().await;
    node.platform.draining();
    stop.cancel();
    tracing::info!("draining: requests under way are finished; a second signal does not wait for them");
    let drained = async {
        drop((&mut serving).await);
        node.host.drain().await;
    };
    let timeout = args.drain_timeout.as_duration();
    tokio::select! {
        result = tokio::time::timeout(timeout, drained) => {
            result.with_context(|| format!("requests were still under way after --drain-timeout {}", args.drain_timeout))?;
        }
        () = signals.next() => anyhow::bail!("stopped by a second signal; requests under way were cut off"),
    }
    stop_control.cancel();
    let controlled = tokio::time::timeout(Duration::from_secs(2), controlling).await;
    if controlled.is_err() {
        tracing::warn!("calls to the control API were cut off");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn start(args: &UpArgs, limits: &Limits, data_dir: DataDir, gateway_url: &str) -> anyhow::Result<Node> {
    let registry = Arc::new(EmbeddedRegistry::open(&data_dir)?);
    let artifacts: Arc<dyn Artifacts> = Arc::new(EmbeddedArtifacts::open(&data_dir)?);
    let collected = garbage::collect(&*registry, &*artifacts).await?;
    if collected.removed > 0 {
        tracing::info!(removed = collected.removed, "artifacts of unfinished deploys removed");
    }
    let host_config = HostConfig {
        capacity: limits.capacity,
        memory_budget_bytes: limits.memory_budget_bytes,
        code_budget_bytes: limits.code_budget_bytes,
        ..HostConfig::new(data_dir.compiled(), data_dir.logs())
    };
    let host = Host::start(host_config, Arc::clone(&artifacts))
        .map_err(|error| anyhow::anyhow!("cannot start the host: {error:#}"))?;
    let snapshot = Arc::clone(&registry.watch().borrow());
    let revisions = snapshot.functions.values().flat_map(|function| &function.revisions);
    let code: Vec<_> = revisions.map(|revision| (revision.artifact, revision.kind)).collect();
    host.collect_code(&code)?;
    let gateway_config = GatewayConfig {
        max_connections: args.max_connections,
        header_read_timeout: args.header_timeout.as_duration(),
        idle_timeout: args.idle_timeout.as_duration(),
        ..GatewayConfig::default()
    };
    let gateway = Gateway::new(gateway_config, LocalHost(host.clone()));
    let platform = Arc::new(LocalPlatform::new(host.clone(), gateway.clone(), gateway_url.to_owned()));
    let token = data_dir.token()?;
    let control =
        Control::new(ControlConfig::new(token), Arc::clone(&registry) as _, artifacts, Arc::clone(&platform) as _);
    Ok(Node { host, gateway, control, platform, registry, data_dir })
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{option} {address}: the port is taken by another process; stop it, or give another port (0 picks a free one)"
        ),
        _ => anyhow::anyhow!("{option} {address}: {error}"),
    })
}

/// Says where everything is, to people and to the client on this machine.
fn announce(data_dir: &DataDir, gateway: &str, control: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let endpoints = serde_json::json!({ "gateway": gateway, "control": control });
    let path = data_dir.path().join("endpoints.json");
    std::fs::write(&path, endpoints.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "gateway  {gateway}\ncontrol  {control}").and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}

fn log_to_stderr(args: &UpArgs) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("--log {}", args.log))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if args.log_format == "json" {
        format.json().init()
    } else {
        format.init()
    }
    Ok(())
}

/// The signals that stop the platform.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
