//! A whole cluster on this machine: real binaries, real NATS servers, each member with a data directory and an address of
//! its own, on loopback or in network namespaces.

mod builder;
mod clock;
mod deploy;
mod disk;
mod hosts;
mod member;
mod netns;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;

use samovar_test_nats::Servers;
use tempfile::TempDir;

pub use builder::ClusterBuilder;
pub use clock::Clock;
pub use disk::Disk;
pub use hosts::HostSeen;
pub use member::{Member, Role};
pub use netns::{Link, Network, Place};

use crate::api::Api;
use crate::call::{Call, Client};
use crate::wait::eventually;

/// The stream of the functions' bucket.
const REGISTRY: &str = "KV_samovar_fn";

/// A running cluster. Dropping it ends every process of it, and then removes its network and its directories.
pub struct Cluster {
    // Dropped in this order.
    members: Members,
    /// The NATS servers.
    pub nats: Servers,
    nats_places: Vec<Option<Place>>,
    network: Option<Network>,
    client: Client,
    dir: TempDir,
}

struct Members {
    controls: Vec<Member>,
    hosts: Vec<Member>,
    gateways: Vec<Member>,
}

impl Members {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.controls.iter_mut().chain(&mut self.hosts).chain(&mut self.gateways)
    }
}

/// Someone in the cluster's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// This host.
    Host(usize),
    /// This gateway.
    Gateway(usize),
    /// This control process.
    Control(usize),
    /// This NATS server.
    Nats(usize),
    /// The test, as a caller.
    Test,
}

impl Cluster {
    /// A cluster of one NATS server, three hosts, two gateways and one control process, unless said otherwise.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Starts every member, and waits until every control process has every host.
    pub async fn start(&mut self) {
        for member in self.members.iter_mut() {
            member.begin();
        }
        for member in self.members.iter_mut() {
            member.ready().await;
        }
        self.is_whole().await;
    }

    /// A host.
    pub fn host(&mut self, index: usize) -> &mut Member {
        &mut self.members.hosts[index]
    }

    /// All hosts.
    pub fn hosts(&mut self) -> &mut [Member] {
        &mut self.members.hosts
    }

    /// A gateway.
    pub fn gateway(&mut self, index: usize) -> &mut Member {
        &mut self.members.gateways[index]
    }

    /// How many gateways there are.
    pub fn gateways(&self) -> Range<usize> {
        0..self.members.gateways.len()
    }

    /// A control process.
    pub fn control(&mut self, index: usize) -> &mut Member {
        &mut self.members.controls[index]
    }

    /// Where the gateways listen.
    pub fn gateway_addresses(&self) -> Vec<SocketAddr> {
        self.members.gateways.iter().map(Member::address).collect()
    }

    /// The API of the first control process.
    pub fn api(&self) -> Api {
        self.api_of(0)
    }

    /// The API of a control process.
    pub fn api_of(&self, control: usize) -> Api {
        let control = &self.members.controls[control];
        Api::new(self.client.clone(), control.address(), control.data_dir())
    }

    /// A call through this gateway.
    pub fn call(&self, gateway: usize, path: &str) -> Call {
        Call::new(self.client.clone(), self.members.gateways[gateway].address(), path)
    }

    /// The address by which members reach the test.
    pub fn test_address(&self) -> IpAddr {
        self.network.as_ref().map_or(Ipv4Addr::LOCALHOST.into(), |network| network.test().address())
    }

    /// The NATS server that leads what every deploy writes to.
    pub async fn registry_leader(&mut self) -> usize {
        let mut leader = async || self.nats.leader_of(REGISTRY);
        eventually("the registry has a leader", &mut leader, Option::is_some).await.expect("just seen")
    }

    /// A call to a member itself, as no gateway would make it.
    pub fn call_member(&self, who: Who, path: &str) -> Call {
        let member = match who {
            Who::Host(index) => &self.members.hosts[index],
            Who::Gateway(index) => &self.members.gateways[index],
            Who::Control(index) => &self.members.controls[index],
            Who::Nats(_) | Who::Test => panic!("{who:?} is not a member"),
        };
        Call::new(self.client.clone(), member.address(), path)
    }

    /// A directory for whatever the test needs, that ends with the cluster.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until every host is ready in the eyes of every control process.
    pub async fn is_whole(&self) {
        let names: Vec<_> = self.members.hosts.iter().map(|host| host.name().to_owned()).collect();
        for control in 0..self.members.controls.len() {
            let ready = async || {
                let seen = self.try_hosts_seen_by(control).await.unwrap_or_default();
                seen.into_iter().filter(|host| host.state == "ready").map(|host| host.name).collect::<Vec<_>>()
            };
            let all = |ready: &Vec<String>| names.iter().all(|name| ready.contains(name));
            eventually("every host is ready", ready, all).await;
        }
    }

    /// Waits until this path is answered through every gateway.
    pub async fn is_answered(&self, path: &str) {
        self.is_answered_each_time(|_| path.to_owned()).await;
    }

    /// The same, with another path for each try, of which this makes one of its number: where it is counted what ran twice.
    pub async fn is_answered_each_time(&self, path: impl Fn(usize) -> String) {
        let tries = std::cell::Cell::new(0);
        for gateway in self.gateways() {
            let status = async || {
                let number = tries.replace(tries.get() + 1);
                self.call(gateway, &path(number)).try_send().await.map_or(0, |answer| answer.status.as_u16())
            };
            eventually("the function is answered", status, |status| *status == 200).await;
        }
    }

    /// The cluster's network, for everything that concerns it alone.
    ///
    /// # Panics
    /// When it has none.
    pub fn network(&mut self) -> &mut Network {
        self.network.as_mut().expect("the cluster was started with a network")
    }

    /// Whether it has one.
    pub fn has_network(&self) -> bool {
        self.network.is_some()
    }

    /// How many hosts there are.
    pub fn number_of_hosts(&self) -> usize {
        self.members.hosts.len()
    }

    /// Where someone is in the network.
    pub fn place(&self, who: Who) -> Place {
        let member = match who {
            Who::Host(index) => &self.members.hosts[index],
            Who::Gateway(index) => &self.members.gateways[index],
            Who::Control(index) => &self.members.controls[index],
            Who::Test => {
                let network = self.network.as_ref().expect("the cluster was started with a network");
                return network.test();
            }
            Who::Nats(index) => {
                return self.nats_places[index].clone().expect("the cluster was started with a network");
            }
        };
        member.place().clone()
    }

    /// Loses whatever `from` sends to `to`.
    pub fn cut(&mut self, from: Who, to: Who) {
        let (from, to) = (self.place(from), self.place(to));
        self.network().cut(&from, &to);
    }

    /// Loses whatever the two send to each other.
    pub fn part(&mut self, one: Who, other: Who) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// The end of one [`Self::cut`].
    pub fn join(&mut self, from: Who, to: Who) {
        let (from, to) = (self.place(from), self.place(to));
        self.network().join(&from, &to);
    }

    /// A member.
    ///
    /// # Panics
    /// With one who is none.
    pub fn member(&mut self, who: Who) -> &mut Member {
        match who {
            Who::Host(index) => self.host(index),
            Who::Gateway(index) => self.gateway(index),
            Who::Control(index) => self.control(index),
            Who::Nats(_) | Who::Test => panic!("{who:?} is not a member"),
        }
    }

    /// Every member.
    pub fn all(&self) -> Vec<Who> {
        let Members { controls, hosts, gateways } = &self.members;
        let controls = (0..controls.len()).map(Who::Control);
        let hosts = (0..hosts.len()).map(Who::Host);
        controls.chain(hosts).chain((0..gateways.len()).map(Who::Gateway)).collect()
    }

    /// Ends every process, and tells the command lines of those that run all the same.
    pub fn end(mut self) -> Vec<String> {
        // Every command line of the cluster names one of its directories, and no other does.
        let dirs = self.nats.iter_mut().map(|server| server.dir().display().to_string());
        let dirs: Vec<_> = dirs.chain([self.dir.path().display().to_string()]).collect();
        drop(self);
        let entries = std::fs::read_dir("/proc").expect("this is Linux").filter_map(Result::ok);
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| dirs.iter().any(|dir| line.contains(dir.as_str()))).collect()
    }

    /// The end of every [`Self::cut`].
    pub fn heal(&mut self) {
        self.network().heal();
    }
}
