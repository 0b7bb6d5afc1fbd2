//! A whole cluster on this machine: real binaries, real NATS servers, each member with a data directory and an address of
//! its own, on loopback or in network namespaces.

mod builder;
mod deploy;
mod hosts;
mod member;
mod netns;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use samovar_test_nats::{Server, Servers};
use tempfile::TempDir;

pub use builder::ClusterBuilder;
pub use hosts::HostSeen;
pub use member::{Member, Role};
pub use netns::{Link, Network, Place};

use crate::api::Api;
use crate::call::{Call, Client};
use crate::wait::eventually;

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
        for gateway in self.gateways() {
            let status = async || self.call(gateway, path).try_send().await.map_or(0, |answer| answer.status.as_u16());
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

    /// The end of every [`Self::cut`].
    pub fn heal(&mut self) {
        self.network().heal();
    }

    /// The processes of the cluster that run.
    pub fn processes(&mut self) -> Vec<u32> {
        let members = self.members.iter_mut().filter_map(|member| member.is_running().then(|| member.process().pid()));
        let members: Vec<_> = members.collect();
        members.into_iter().chain(self.nats.iter_mut().filter_map(|server| Server::pid(server))).collect()
    }
}
