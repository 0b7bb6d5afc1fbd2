//! The failures: how each is made to happen to a cluster, and how it is mended.

use std::time::Duration;

use super::Scale;
use crate::cluster::{Clock, Cluster, Disk, Link, Network, Who};

/// A failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A host is killed, and started again later.
    HostKilled,
    /// A host does nothing for longer than its lease, and then goes on.
    HostPaused,
    /// A host is drained, and its process ends by SIGTERM; later it is started again.
    HostDrained,
    /// A gateway is killed, and started again later.
    GatewayKilled,
    /// A control process is killed, and started again later.
    ControlKilled,
    /// The only NATS server is killed, and started again later.
    NatsAway,
    /// The NATS server that leads the registry is killed, one of three.
    NatsLeaderKilled,
    /// NATS is away; all hosts are killed and started again meanwhile.
    HostsRestartedWithoutNats,
    /// NATS is away; a gateway is killed and started again meanwhile.
    GatewayRestartedWithoutNats,
    /// What the gateways send to a host is lost.
    CutToHost,
    /// What a host sends to the gateways is lost.
    CutFromHost,
    /// A host and the gateways lose all they send to each other.
    HostCutOff,
    /// A gateway and NATS lose all they send to each other.
    GatewayFromNats,
    /// A host and NATS lose all they send to each other.
    HostFromNats,
    /// The link to a host is slow.
    SlowLink,
    /// The disk of a host is full.
    DiskFull,
    /// The wall clocks of a host and a gateway are an hour ahead.
    ClockAhead,
    /// The wall clocks of a host and a gateway are an hour behind.
    ClockBehind,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::HostKilled,
        Self::HostPaused,
        Self::HostDrained,
        Self::GatewayKilled,
        Self::ControlKilled,
        Self::NatsAway,
        Self::NatsLeaderKilled,
        Self::HostsRestartedWithoutNats,
        Self::GatewayRestartedWithoutNats,
        Self::CutToHost,
        Self::CutFromHost,
        Self::HostCutOff,
        Self::GatewayFromNats,
        Self::HostFromNats,
        Self::SlowLink,
        Self::DiskFull,
        Self::ClockAhead,
        Self::ClockBehind,
    ];

    /// The failure in words, for a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::HostKilled => "one of three hosts: `kill -9`, then started again",
            Self::HostPaused => "one host: SIGSTOP for 20 s, past its lease, then SIGCONT",
            Self::HostDrained => "one host: `samovar drain`, SIGTERM, then started again",
            Self::GatewayKilled => "one of two gateways: `kill -9`, then started again",
            Self::ControlKilled => "the control process: `kill -9`, then started again",
            Self::NatsAway => "the only NATS server away",
            Self::NatsLeaderKilled => "the NATS leader, of three: `kill -9`, then started again",
            Self::HostsRestartedWithoutNats => "NATS away, all hosts restarted meanwhile",
            Self::GatewayRestartedWithoutNats => "NATS away, one of two gateways restarted meanwhile",
            Self::CutToHost => "what gateways send to one host is lost",
            Self::CutFromHost => "what one host sends to gateways is lost",
            Self::HostCutOff => "one host and the gateways cut off from each other",
            Self::GatewayFromNats => "one gateway and NATS cut off from each other",
            Self::HostFromNats => "one host and NATS cut off from each other, past its lease",
            Self::SlowLink => "a slow link to one host",
            Self::DiskFull => "one host's disk full",
            Self::ClockAhead => "clocks of a host and a gateway an hour ahead, then right again",
            Self::ClockBehind => "clocks of a host and a gateway an hour behind, then right again",
        }
    }

    /// A short name, for a command line.
    pub fn name(self) -> String {
        let name = format!("{self:?}");
        let mut words = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push('-');
            }
            words.extend(letter.to_lowercase());
        }
        words
    }

    /// How long it lasts.
    pub fn lasts(self, scale: Scale) -> Duration {
        match self {
            Self::NatsAway | Self::HostsRestartedWithoutNats | Self::GatewayRestartedWithoutNats => scale.away,
            // The lease is 15 s.
            Self::HostPaused | Self::HostFromNats => Duration::from_secs(20),
            _ => scale.during,
        }
    }

    /// How many gateways the cluster has that it is tried on.
    pub fn gateways(self) -> usize {
        2
    }

    fn nats_servers(self) -> usize {
        if self == Self::NatsLeaderKilled { 3 } else { 1 }
    }

    fn needs_network(self) -> bool {
        use Fault::{CutFromHost, CutToHost, GatewayFromNats, HostCutOff, HostFromNats, SlowLink};
        matches!(self, CutToHost | CutFromHost | HostCutOff | GatewayFromNats | HostFromNats | SlowLink)
    }

    /// Why it cannot be tried here; `None` where it can.
    pub fn unavailable(self) -> Option<String> {
        match self {
            _ if self.needs_network() => Network::unavailable(),
            Self::DiskFull => Disk::mount(1).err(),
            Self::ClockAhead | Self::ClockBehind => {
                let dir = tempfile::TempDir::new().expect("a temporary directory");
                Clock::new(dir.path()).err()
            }
            _ => None,
        }
    }
}

/// A cluster with what a failure needs.
pub struct Rig {
    fault: Fault,
    /// The cluster. Dropped before what it uses.
    pub cluster: Cluster,
    clock: Option<Clock>,
    disk: Option<Disk>,
    /// The host that it happens to: one with much to do. Where a host needs something special, the first has it.
    victim: usize,
    /// The NATS server that was killed.
    killed: usize,
}

impl Rig {
    /// A cluster on which this failure can happen.
    pub async fn start(fault: Fault) -> Self {
        let mut builder = Cluster::builder().nats(fault.nats_servers()).gateways(fault.gateways());
        if fault.needs_network() {
            builder = builder.network();
        }
        let disk = (fault == Fault::DiskFull).then(|| Disk::mount(256).expect("asked before"));
        if let Some(disk) = &disk {
            builder = builder.host_dir(0, &disk.path().join("host"));
        }
        let mut cluster = builder.prepare();
        let steps = matches!(fault, Fault::ClockAhead | Fault::ClockBehind);
        let clock = steps.then(|| Clock::new(cluster.dir()).expect("asked before"));
        if let Some(clock) = &clock {
            cluster.host(0).launch().env.extend(clock.env());
            cluster.gateway(0).launch().env.extend(clock.env());
        }
        cluster.start().await;
        Self { fault, cluster, clock, disk, victim: 0, killed: 0 }
    }

    /// Chooses the host that it happens to, by the functions of the load.
    pub async fn aim(&mut self, functions: &[String]) {
        if !matches!(self.fault, Fault::DiskFull | Fault::ClockAhead | Fault::ClockBehind) {
            self.victim = self.cluster.host_with_most_of(functions).await;
        }
    }

    /// The failure happens.
    pub async fn strike(&mut self) {
        let victim = self.victim;
        let cluster = &mut self.cluster;
        match self.fault {
            Fault::HostKilled => cluster.host(victim).kill(),
            Fault::HostPaused => cluster.host(victim).pause(),
            Fault::HostDrained => {
                cluster.drain(victim).await;
                cluster.host_is(victim, "draining").await;
                let (code, said) = cluster.host(victim).stop().await;
                assert_eq!(code, Some(0), "{said}");
            }
            Fault::GatewayKilled => cluster.gateway(0).kill(),
            Fault::ControlKilled => cluster.control(0).kill(),
            Fault::NatsAway => cluster.nats.kill(),
            Fault::NatsLeaderKilled => {
                self.killed = cluster.registry_leader().await;
                cluster.nats[self.killed].kill();
            }
            Fault::HostsRestartedWithoutNats => {
                cluster.nats.kill();
                // One after the other, as an upgrade would: the functions are answered all the while.
                for host in cluster.hosts() {
                    host.restart().await;
                }
            }
            Fault::GatewayRestartedWithoutNats => {
                cluster.nats.kill();
                cluster.gateway(0).restart().await;
            }
            Fault::CutToHost => {
                cluster.gateways().for_each(|index| cluster.cut(Who::Gateway(index), Who::Host(victim)))
            }
            Fault::CutFromHost => {
                cluster.gateways().for_each(|index| cluster.cut(Who::Host(victim), Who::Gateway(index)))
            }
            Fault::HostCutOff => {
                cluster.gateways().for_each(|index| cluster.part(Who::Gateway(index), Who::Host(victim)))
            }
            Fault::GatewayFromNats => cluster.part(Who::Gateway(0), Who::Nats(0)),
            Fault::HostFromNats => cluster.part(Who::Host(victim), Who::Nats(0)),
            Fault::SlowLink => slow_link(cluster, victim),
            Fault::DiskFull => self.disk.as_ref().expect("made at the start").fill(),
            Fault::ClockAhead => self.clock.as_ref().expect("made at the start").set(3600),
            Fault::ClockBehind => self.clock.as_ref().expect("made at the start").set(-3600),
        }
    }

    /// The failure's end.
    pub async fn mend(&mut self) {
        let victim = self.victim;
        let cluster = &mut self.cluster;
        match self.fault {
            Fault::HostKilled => cluster.host(victim).start().await,
            Fault::HostPaused => cluster.host(victim).resume(),
            Fault::HostDrained => {
                cluster.host(victim).start().await;
                cluster.undrain(victim).await;
            }
            Fault::GatewayKilled => cluster.gateway(0).start().await,
            Fault::ControlKilled => cluster.control(0).start().await,
            Fault::NatsAway | Fault::HostsRestartedWithoutNats | Fault::GatewayRestartedWithoutNats => {
                cluster.nats.restart();
            }
            Fault::NatsLeaderKilled => cluster.nats[self.killed].restart(),
            Fault::CutToHost
            | Fault::CutFromHost
            | Fault::HostCutOff
            | Fault::GatewayFromNats
            | Fault::HostFromNats => cluster.heal(),
            Fault::SlowLink => {
                let place = cluster.place(Who::Host(victim));
                cluster.network().fast(&place);
            }
            Fault::DiskFull => self.disk.as_ref().expect("made at the start").free(),
            Fault::ClockAhead | Fault::ClockBehind => self.clock.as_ref().expect("made at the start").set(0),
        }
    }
}

/// 100 ms late where the kernel can do that, and otherwise so narrow that most of the load does not pass.
fn slow_link(cluster: &mut Cluster, victim: usize) {
    let place = cluster.place(Who::Host(victim));
    let late = cluster.network().slow(&place, Link::Late(Duration::from_millis(100)));
    let slow = late || cluster.network().slow(&place, Link::Narrow(256));
    assert!(slow, "the kernel has neither netem nor tbf");
}
