//! The host of a process that belongs to a cluster: runs functions for gateways elsewhere.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use samovar_cluster::nats::{NatsArtifacts, NatsRegistry};
use samovar_cluster::{Artifacts, Lease, Membership as _, Registry as _};
use samovar_gateway::remote::{RemoteConfig, RemoteHosts};
use samovar_hop::HostName;
use samovar_model::{BootEpoch, ByteSize, HostCapacity, HostId, HostIntent, HostLoad, HostRecord, HostReport};
use samovar_runtime::serving::Serving;
use samovar_runtime::{Host, HostConfig, Reach};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::calls::OtherFunctions;
use super::limits::Limits;
use super::local::forget_deleted;
use super::member::Member;
use crate::Usage;

/// The file in the data directory that keeps the host's name over restarts.
const NAME_FILE: &str = "host-name";
/// How often the host's load and what is warm are looked at, to be told with the next renewal of its lease.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often copies of artifacts are looked through for those that nothing refers to.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// How long a host that is told to stop still takes what comes: gateways learn within this that it is draining.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long giving the lease back may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How many invocations for each core a host is given before others are preferred. Functions that compute fill a core with one
/// each; most wait for something, most of the time.
const SLOTS_PER_CORE: usize = 32;

/// What a host may use of its machine.
#[derive(Debug, Args)]
pub(crate) struct HostOptions {
    /// The most instances alive at once; what the machine cannot hold is left out, with a warning that says what to change
    /// [default: what the machine allows, up to 10000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_instances: Option<u32>,
    /// The most memory that the process is to have; past it idle instances go, then code, then invocations are turned away
    /// [default: that of the cgroup or the machine, less an eighth]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_budget: Option<ByteSize>,
    /// The most compiled code kept loaded; past it the code that is worth least goes, and is loaded again at its next call
    /// [default: a quarter of the memory budget]
    #[arg(long, value_name = "SIZE")]
    pub(crate) code_budget: Option<ByteSize>,
    /// Certificates of authorities, in PEM, that requests of functions trust beside the public ones
    #[arg(long, value_name = "FILE", env = "SAMOVAR_OUTBOUND_CA_FILE", hide_env_values = true)]
    pub(crate) outbound_ca_file: Option<PathBuf>,
}

impl HostOptions {
    /// The authorities that requests of functions trust beside the public ones.
    pub(crate) fn outbound_roots(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let Some(file) = &self.outbound_ca_file else { return Ok(Vec::new()) };
        let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let roots = read.with_context(|| format!("--outbound-ca-file {}", file.display()))?;
        anyhow::ensure!(!roots.is_empty(), "--outbound-ca-file {}: there is no certificate in it", file.display());
        Ok(roots)
    }
}

/// Who a host is to the others.
#[derive(Debug, Args)]
pub(crate) struct HostIdentity {
    /// Where gateways reach this host, as HOST:PORT or HOST [default: the address that it listens on]
    #[arg(long, value_name = "ADDR", env = "SAMOVAR_ADVERTISE", hide_env_values = true)]
    pub(crate) advertise: Option<String>,
    /// The host's name, unlike any other's [default: one made at the first start, and kept in the data directory]
    #[arg(long, value_name = "NAME", env = "SAMOVAR_HOST_NAME", hide_env_values = true)]
    pub(crate) name: Option<HostId>,
}

/// A host that runs.
pub(crate) struct HostRole {
    pub(crate) host: Host,
    pub(crate) name: HostId,
    pub(crate) address: String,
    serving: Arc<Serving>,
    held: watch::Receiver<bool>,
    phase: watch::Sender<Phase>,
    reporter: JoinHandle<()>,
    /// Ends the listener.
    stop: CancellationToken,
    listener: JoinHandle<()>,
}

/// How far a host is in its life.
///
/// ```text
/// Serving => Stopping => Leaving
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Tells that it drains.
    Stopping,
    /// Gives its lease back.
    Leaving,
}

impl HostRole {
    /// Starts the host, and joins.
    pub(crate) async fn start(
        member: &Member,
        identity: &HostIdentity,
        address: String,
        limits: &Limits,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let name = host_name(member.data_dir.path(), identity.name.as_ref())?;
        let artifacts: Arc<dyn Artifacts> = Arc::clone(&member.artifacts) as _;
        let functions = OtherFunctions::new();
        if let Some(secrets) = &member.secrets {
            tokio::spawn(Arc::clone(secrets).tell_of_other_keys());
        }
        let reach = Reach {
            key_value: Some(member.key_value().await?),
            functions: Some(Arc::clone(&functions) as _),
            secrets: member.secrets.clone(),
        };
        let host = start_host(limits, &member.data_dir, Arc::clone(&artifacts), reach)?;
        let called = functions.follow(others(member), member.registry.watch());
        let snapshot = Arc::clone(&member.registry.watch().borrow());
        let revisions = snapshot.functions.values().flat_map(|function| &function.revisions);
        let code: Vec<_> = revisions.map(|revision| (revision.artifact, revision.kind)).collect();
        host.collect_code(&code)?;
        let registry = Arc::clone(&member.registry) as _;
        let serving = Arc::new(Serving::new(host.clone(), registry, artifacts));
        let record = HostRecord {
            id: name.clone(),
            address: address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: BootEpoch::now(),
            started: Timestamp::now(),
            capacity: capacity(limits),
            report: HostReport::default(),
        };
        let lease = member.membership.join(record).await;
        let hop_name = HostName { id: name.clone(), epoch: lease.epoch() };
        let stop = CancellationToken::new();
        let listening =
            samovar_hop::serve(listener, member.identity.clone(), hop_name, Arc::clone(&serving), stop.clone());
        let listener = tokio::spawn(listening);
        tokio::spawn({
            let serving = Arc::clone(&serving);
            async move { serving.follow().await }
        });
        tokio::spawn(forget_deleted(host.clone(), member.registry.watch()));
        tokio::spawn(forget_artifacts(Arc::clone(&member.registry), Arc::clone(&member.artifacts)));
        let (phase, phases) = watch::channel(Phase::Serving);
        let held = lease.held();
        let reporter = Reporter { host: host.clone(), serving: Arc::clone(&serving), called, phase: phases };
        let reporter = tokio::spawn(reporter.run(lease));
        Ok(Self { host, name, address, serving, held, phase, reporter, stop, listener })
    }

    /// Waits until a later run of this host has its name.
    pub(crate) async fn replaced(&self) {
        let mut held = self.held.clone();
        if held.wait_for(|held| !held).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes nothing new, and finishes what is running. [`HostRole::leave`] comes after it, also where this took too long.
    pub(crate) async fn drain(&mut self) {
        self.phase.send_replace(Phase::Stopping);
        tokio::time::sleep(FAREWELL).await;
        self.stop.cancel();
        self.serving.stop();
        if let Err(error) = (&mut self.listener).await {
            tracing::error!(%error, "the listener for gateways crashed");
        }
        self.host.drain().await;
        tracing::debug!(in_flight = self.serving.in_flight(), "drained");
    }

    /// Gives the lease back.
    pub(crate) async fn leave(self) {
        self.phase.send_replace(Phase::Leaving);
        match tokio::time::timeout(LEAVE_WITHIN, self.reporter).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the lease's task crashed"),
            Err(_) => tracing::warn!("the lease is not given back, and expires by itself"),
        }
    }
}

/// What passes calls of functions by functions on to hosts, this one among them: chosen as by a gateway.
fn others(member: &Member) -> RemoteHosts {
    let remote = RemoteHosts::new(RemoteConfig::default(), member.connector.clone());
    let hosts = member.membership.watch();
    tokio::spawn({
        let remote = remote.clone();
        async move { remote.follow(hosts).await }
    });
    remote
}

/// Starts what runs functions, with its state in a data directory.
pub(crate) fn start_host(
    limits: &Limits,
    data_dir: &samovar_cluster::embedded::DataDir,
    artifacts: Arc<dyn Artifacts>,
    reach: Reach,
) -> anyhow::Result<Host> {
    let config = HostConfig {
        capacity: limits.capacity,
        memory_budget_bytes: limits.memory_budget_bytes,
        code_budget_bytes: limits.code_budget_bytes,
        outbound_roots: limits.outbound_roots.clone(),
        ..HostConfig::new(data_dir.compiled(), data_dir.logs())
    };
    Host::start(config, artifacts, reach).map_err(|error| anyhow::anyhow!("cannot start the host: {error:#}"))
}

fn capacity(limits: &Limits) -> HostCapacity {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let instances = u64::from(limits.capacity.instances);
    let slots = u64::try_from(cores * SLOTS_PER_CORE).unwrap_or(u64::MAX).min(instances);
    HostCapacity { instances, memory_bytes: limits.memory_budget_bytes, slots }
}

/// Removes this host's copies of artifacts that no revision refers to any more, now and then.
async fn forget_artifacts(registry: Arc<NatsRegistry>, artifacts: Arc<NatsArtifacts>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        let snapshot = Arc::clone(&registry.watch().borrow());
        let revisions = snapshot.functions.values().flat_map(|function| &function.revisions);
        let keep = revisions.map(|revision| revision.artifact).collect();
        match artifacts.forget(&keep).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "copies of artifacts that nothing refers to removed"),
            Err(error) => tracing::warn!(%error, "copies of artifacts that nothing refers to are still there"),
        }
    }
}

/// Tells the lease what its next renewal is to say.
struct Reporter {
    host: Host,
    serving: Arc<Serving>,
    /// The version of the snapshot whose functions are called by others.
    called: watch::Receiver<u64>,
    phase: watch::Receiver<Phase>,
}

impl Reporter {
    async fn run(mut self, lease: Box<dyn Lease>) {
        let (mut asked, mut versions) = (lease.asked(), self.serving.versions());
        loop {
            let phase = *self.phase.borrow_and_update();
            let wanted = *asked.borrow_and_update();
            let intent = match phase {
                Phase::Serving => wanted,
                Phase::Stopping => HostIntent::Draining,
                Phase::Leaving => break,
            };
            let (busy, idle) = self.host.occupancy();
            let load = HostLoad { busy, idle, in_flight: self.serving.in_flight().into() };
            let routed = (*versions.borrow_and_update()).min(*self.called.borrow_and_update());
            lease.report(HostReport { intent, routed, load, warm: self.host.warm() });
            let changed = tokio::select! {
                () = tokio::time::sleep(REPORT_EVERY) => Ok(()),
                changed = self.phase.changed() => changed,
                changed = asked.changed() => changed,
                changed = versions.changed() => changed,
                changed = self.called.changed() => changed,
            };
            if changed.is_err() {
                break;
            }
        }
        if let Err(error) = lease.leave().await {
            tracing::warn!(%error, "the lease is not given back, and expires by itself");
        }
    }
}

impl HostIdentity {
    /// Where gateways reach this host, which listens here.
    pub(crate) fn address(&self, listens: SocketAddr) -> anyhow::Result<String> {
        advertised(self.advertise.as_deref(), listens)
    }
}

/// An address that others can reach.
pub(crate) fn advertised(given: Option<&str>, listens: SocketAddr) -> anyhow::Result<String> {
    let Some(given) = given else {
        if listens.ip().is_unspecified() {
            return Err(Usage(format!(
                "it listens on {listens}, which is no address that others can reach: give --advertise, as in \
                 --advertise 10.0.0.7"
            ))
            .into());
        }
        return Ok(listens.to_string());
    };
    let (host, port) = match given.rsplit_once(':') {
        Some((host, port)) if !given.ends_with(']') => (host, Some(port)),
        _ => (given, None),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    match port.map(str::parse::<u16>) {
        None if is_host => Ok(format!("{host}:{}", listens.port())),
        Some(Ok(port)) if is_host => Ok(format!("{host}:{port}")),
        _ => Err(Usage(format!("--advertise {given}: write HOST or HOST:PORT, as in 10.0.0.7:7070 or [fd00::7]:7070"))
            .into()),
    }
}

/// The host's name: the one that was given, the one it had before, or a new one.
fn host_name(dir: &Path, given: Option<&HostId>) -> anyhow::Result<HostId> {
    let file = dir.join(NAME_FILE);
    let before = match std::fs::read_to_string(&file) {
        // As a crash can leave it.
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(text.trim().parse::<HostId>().with_context(|| file.display().to_string())?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    let name = match (given, &before) {
        (Some(given), _) => given.clone(),
        (None, Some(before)) => before.clone(),
        (None, None) => new_name()?,
    };
    if before.as_ref() != Some(&name) {
        write_durably(&file, &format!("{name}\n")).with_context(|| file.display().to_string())?;
    }
    Ok(name)
}

/// Writes a file that has its name only once all of it is on disk.
fn write_durably(file: &Path, text: &str) -> std::io::Result<()> {
    let temporary = file.with_extension("tmp");
    let mut written = std::fs::File::create(&temporary)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&temporary, file)?;
    file.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

/// The machine's name and something to tell apart several hosts on it.
fn new_name() -> anyhow::Result<HostId> {
    Ok(format!("{:.50}-{:06x}", machine_name(), fastrand::u32(..1 << 24)).parse()?)
}

/// The machine's name, as far as it can be the beginning of a member's.
pub(crate) fn machine_name() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let label = machine.split('.').next().unwrap_or_default();
    let allowed: String = label.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let machine = allowed.trim_matches('-');
    if machine.is_empty() { "machine".to_owned() } else { machine.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_an_address_that_others_can_reach() {
        let listens = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(advertised(None, listens("10.0.0.7:7070")).unwrap(), "10.0.0.7:7070");
        assert_eq!(advertised(Some("h7"), listens("0.0.0.0:7070")).unwrap(), "h7:7070");
        assert_eq!(advertised(Some("h7:1"), listens("0.0.0.0:7070")).unwrap(), "h7:1");
        assert_eq!(advertised(Some("[fd00::7]"), listens("[::]:7070")).unwrap(), "[fd00::7]:7070");
        assert!(advertised(None, listens("0.0.0.0:7070")).unwrap_err().to_string().contains("--advertise 10.0.0.7"));
        for bad in ["http://h7", "fd00::7", "h7:", "h7:x", "h7:70000", "", "a@h7"] {
            assert!(advertised(Some(bad), listens("0.0.0.0:7070")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_kept_until_another_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let made = host_name(dir.path(), None).unwrap();
        assert_eq!(host_name(dir.path(), None).unwrap(), made);
        let given: HostId = "seven".parse().unwrap();
        assert_eq!(host_name(dir.path(), Some(&given)).unwrap(), given);
        assert_eq!(host_name(dir.path(), None).unwrap(), given);
        std::fs::write(dir.path().join(NAME_FILE), "Not A Name").unwrap();
        assert!(host_name(dir.path(), None).is_err());
    }

    #[test]
    fn a_name_file_that_a_crash_left_empty_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME_FILE), "\n").unwrap();
        let made = host_name(dir.path(), None).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(NAME_FILE)).unwrap(), format!("{made}\n"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
