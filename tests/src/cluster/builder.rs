//! What a cluster is made of, and its start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use samovar_test_nats::Servers;
use tempfile::TempDir;

use super::member::{Member, Role};
use super::netns::{Network, Place};
use super::{Cluster, Members};
use crate::call::Client;
use crate::process::Launch;

/// What a cluster is made of: one NATS server, three hosts, two gateways and one control process, unless said otherwise.
pub struct ClusterBuilder {
    nats: usize,
    hosts: usize,
    gateways: usize,
    controls: usize,
    network: bool,
    host_args: Vec<String>,
    gateway_args: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    host_dir: Option<(usize, PathBuf)>,
}

/// The secret of every cluster of the tests, but for those that have a wrong one.
const SECRET: &str = "a secret that only members of this cluster know";

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            nats: 1,
            hosts: 3,
            gateways: 2,
            controls: 1,
            network: false,
            host_args: Vec::new(),
            gateway_args: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            host_dir: None,
        }
    }
}

impl ClusterBuilder {
    /// Has one NATS server or three, and as many replicas of everything kept there.
    #[must_use]
    pub fn nats(mut self, number: usize) -> Self {
        self.nats = number;
        self
    }

    /// Has so many hosts.
    #[must_use]
    pub fn hosts(mut self, number: usize) -> Self {
        self.hosts = number;
        self
    }

    /// Has so many gateways.
    #[must_use]
    pub fn gateways(mut self, number: usize) -> Self {
        self.gateways = number;
        self
    }

    /// Has so many control processes.
    #[must_use]
    pub fn controls(mut self, number: usize) -> Self {
        self.controls = number;
        self
    }

    /// Has each member and each NATS server in a network namespace of its own; see [`Network`].
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Gives every host an option more, and its value.
    #[must_use]
    pub fn host_arg(mut self, option: &str, value: &str) -> Self {
        self.host_args.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Gives every gateway an option more, and its value.
    #[must_use]
    pub fn gateway_arg(mut self, option: &str, value: &str) -> Self {
        self.gateway_args.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Gives every member an option more, and its value.
    #[must_use]
    pub fn arg(mut self, option: &str, value: &str) -> Self {
        self.args.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Sets a variable in every member's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives this host another data directory.
    #[must_use]
    pub fn host_dir(mut self, index: usize, dir: &Path) -> Self {
        self.host_dir = Some((index, dir.to_owned()));
        self
    }

    /// Starts everything, and waits until every gateway has every host.
    pub async fn start(self) -> Cluster {
        let mut cluster = self.prepare();
        cluster.start().await;
        cluster
    }

    /// The same without its members: NATS alone runs until [`Cluster::start`].
    pub fn prepare(self) -> Cluster {
        let dir = TempDir::new().expect("a temporary directory");
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET).expect("the directory is ours");
        let mut network = self.network.then(Network::start);
        let mut place = || network.as_mut().map(Network::add);
        let places: Vec<_> = (0..self.nats).map(|_| place()).collect();
        let nats = Servers::at(&places.iter().map(|place| at(place.as_ref(), 4, 0)).collect::<Vec<_>>());
        let common = ["--join".to_owned(), nats.urls(), "--replicas".to_owned(), self.nats.to_string()];
        let common: Vec<_> = common.into_iter().chain(secret_args(&secret)).chain(self.args.clone()).collect();
        let mut members = |role: Role, number: usize| {
            let make = |index: usize| {
                let place = place();
                let (address, under) = at(place.as_ref(), role as u8, index);
                let own: &[String] = match role {
                    Role::Host => &self.host_args,
                    Role::Gateway => &self.gateway_args,
                    Role::Control => &[],
                };
                let args = [&common[..], own].concat();
                let own = dir.path().join(format!("{}-{index}", role.word()));
                let other = self.host_dir.as_ref().filter(|(host, _)| role == Role::Host && *host == index);
                let data_dir = other.map_or(own, |(_, dir)| dir.clone());
                let launch = Launch { under, args, env: self.env.clone() };
                Member::new(role, launch, SocketAddr::new(address, 0), data_dir, place)
            };
            (0..number).map(make).collect::<Vec<_>>()
        };
        let members = Members {
            controls: members(Role::Control, self.controls),
            hosts: members(Role::Host, self.hosts),
            gateways: members(Role::Gateway, self.gateways),
        };
        Cluster { members, nats, nats_places: places, network, client: Client::new(), dir }
    }
}

pub(super) fn secret_args(file: &Path) -> [String; 2] {
    ["--cluster-secret-file".to_owned(), file.display().to_string()]
}

/// An address of its own, and the command that leads there. On loopback everyone has one as well: the port of one that was
/// killed is then taken by nobody who connects somewhere from 127.0.0.1, and can be taken again.
fn at(place: Option<&Place>, kind: u8, index: usize) -> (IpAddr, Vec<String>) {
    let index = u8::try_from(index + 1).expect("fewer than 255 members");
    match place {
        Some(place) => (place.address(), place.under()),
        None if cfg!(target_os = "linux") => (Ipv4Addr::new(127, 0, kind + 1, index).into(), Vec::new()),
        None => (Ipv4Addr::LOCALHOST.into(), Vec::new()),
    }
}
