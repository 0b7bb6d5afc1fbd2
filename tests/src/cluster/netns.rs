//! A network of its own for a cluster: each member in a network namespace with an address of its own, and a router between
//! them that drops what it is told to drop.
//!
//! The router is a namespace, too, with one veth pair to each member and one to the namespace of the test. A member has
//! only a route to the router, so every packet between two members passes it, and a rule there, "what came from this one
//! and goes to that one: blackhole", loses packets in one direction without a word, as a cable would. That needs `ip` and
//! nothing of netfilter.
//!
//! Where the kernel can (`tc netem`) a link is made late, and otherwise narrow (`tc tbf`).
//!
//! It needs root. All of it goes away with [`Network`]; what a killed test has left goes when the next network is made, and
//! is known by the name of its namespaces: `samovar-test-PID-NUMBER-INDEX`, where no process has this PID any more.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PREFIX: &str = "samovar-test";

/// A router and those connected to it.
pub struct Network {
    number: u8,
    places: u8,
    cuts: Vec<(Place, Place)>,
}

/// Where a member is: its namespace and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// None for the test itself.
    namespace: Option<String>,
    /// The router's end of its veth pair.
    interface: String,
    address: Ipv4Addr,
}

/// What a link can be made.
#[derive(Debug, Clone, Copy)]
pub enum Link {
    /// Each packet comes so much later.
    Late(Duration),
    /// No more than so many kilobits a second pass.
    Narrow(u32),
}

impl Place {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// The command that starts another one there.
    pub fn under(&self) -> Vec<String> {
        let exec = |name: &String| ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
        self.namespace.as_ref().map(exec).unwrap_or_default()
    }
}

impl Network {
    /// Why there can be none here; `None` where there can.
    pub fn unavailable() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("network namespaces need root".to_owned());
        }
        let probe = Command::new("ip").args(["netns", "list"]).output();
        match probe {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("`ip netns list`: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Some(format!("`ip`: {error}")),
        }
    }

    /// A network without members. Removes what killed tests have left.
    ///
    /// # Panics
    /// Where there can be none.
    pub fn start() -> Self {
        assert_eq!(Self::unavailable(), None);
        remove_stale();
        // The interface's name is the lock on the number: it can be made once.
        let made = |number: &u8| {
            let interface = interface(*number);
            let peer = format!("{interface}p");
            ip(&["link", "add", &interface, "type", "veth", "peer", "name", &peer]).status.success()
        };
        let number = (1..=250).find(made).expect("fewer than 250 tests at once");
        let network = Self { number, places: 0, cuts: Vec::new() };
        let (router, own) = (network.router(), interface(number));
        must(&["netns", "add", &router]);
        must(&["link", "set", &format!("{own}p"), "netns", &router, "name", "outside"]);
        must(&["-n", &router, "link", "set", "lo", "up"]);
        network.connect_to_router("outside", network.outside());
        must(&["addr", "add", &format!("{}/32", network.outside()), "dev", &own]);
        must(&["link", "set", &own, "up"]);
        let gateway = network.gateway().to_string();
        must(&["route", "add", &format!("10.201.{number}.0/24"), "dev", &own, "via", &gateway, "onlink"]);
        must(&["netns", "exec", &router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        network
    }

    /// Where the test itself is.
    pub fn test(&self) -> Place {
        Place { namespace: None, interface: "outside".to_owned(), address: self.outside() }
    }

    fn outside(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.number, 1)
    }

    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.number, 254)
    }

    fn router(&self) -> String {
        self.namespace(0)
    }

    fn namespace(&self, index: u8) -> String {
        format!("{PREFIX}-{}-{}-{index}", std::process::id(), self.number)
    }

    /// Gives the router an interface to `address`.
    fn connect_to_router(&self, interface: &str, address: Ipv4Addr) {
        let router = self.router();
        must(&["-n", &router, "addr", "add", &format!("{}/32", self.gateway()), "dev", interface]);
        must(&["-n", &router, "link", "set", "dev", interface, "up"]);
        must(&["-n", &router, "route", "add", &format!("{address}/32"), "dev", interface]);
    }

    /// A place more.
    pub fn add(&mut self) -> Place {
        self.places += 1;
        let index = self.places;
        let (namespace, router, gateway) = (self.namespace(index), self.router(), self.gateway().to_string());
        let (address, interface) = (Ipv4Addr::new(10, 201, self.number, 10 + index), format!("m{index}"));
        must(&["netns", "add", &namespace]);
        let peer = ["peer", "name", "eth0", "netns", &namespace];
        must(&[&["link", "add", &interface, "netns", &router, "type", "veth"][..], &peer].concat());
        self.connect_to_router(&interface, address);
        for rest in [
            &["addr", "add", &format!("{address}/32"), "dev", "eth0"][..],
            &["link", "set", "lo", "up"],
            &["link", "set", "eth0", "up"],
            &["route", "add", "default", "via", &gateway, "dev", "eth0", "onlink"],
        ] {
            must(&[&["-n", &namespace][..], rest].concat());
        }
        Place { namespace: Some(namespace), interface, address }
    }

    /// Loses whatever `from` sends to `to` from now on.
    pub fn cut(&mut self, from: &Place, to: &Place) {
        let cut = (from.clone(), to.clone());
        if !self.cuts.contains(&cut) {
            self.rule("add", &cut);
            self.cuts.push(cut);
        }
    }

    /// The end of one [`Self::cut`].
    pub fn join(&mut self, from: &Place, to: &Place) {
        let cut = (from.clone(), to.clone());
        if let Some(index) = self.cuts.iter().position(|known| *known == cut) {
            self.rule("del", &cut);
            self.cuts.swap_remove(index);
        }
    }

    /// Loses nothing any more.
    pub fn heal(&mut self) {
        for cut in std::mem::take(&mut self.cuts) {
            self.rule("del", &cut);
        }
    }

    fn rule(&self, verb: &str, (from, to): &(Place, Place)) {
        let to = format!("{}/32", to.address);
        must(&["-n", &self.router(), "rule", verb, "iif", &from.interface, "to", &to, "blackhole", "priority", "100"]);
    }

    /// Makes the way to this place slow. False where the kernel cannot do that.
    pub fn slow(&self, to: &Place, link: Link) -> bool {
        let router = self.router();
        let how = match link {
            Link::Late(by) => format!("netem delay {}ms limit 10000", by.as_millis()),
            Link::Narrow(kilobits) => format!("tbf rate {kilobits}kbit burst 4kb latency 5s"),
        };
        let start = ["-n", &router, "qdisc", "replace", "dev", &to.interface, "root"];
        let words: Vec<_> = start.into_iter().chain(how.split(' ')).collect();
        run("tc", &words).status.success()
    }

    /// The end of [`Self::slow`].
    pub fn fast(&self, to: &Place) {
        // It may never have been slow.
        drop(run("tc", &["-n", &self.router(), "qdisc", "del", "dev", &to.interface, "root"]));
    }

    /// The processes that run in its namespaces.
    pub fn processes(&self) -> Vec<u32> {
        (0..=self.places).flat_map(|index| processes(&self.namespace(index))).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in (0..=self.places).rev() {
            remove(&self.namespace(index));
        }
        drop(ip(&["link", "del", &interface(self.number)]));
    }
}

/// The end of the veth pair that is in the namespace of the test.
fn interface(number: u8) -> String {
    format!("samovar{number}")
}

fn run(command: &str, words: &[&str]) -> Output {
    let output = Command::new(command).args(words).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn ip(words: &[&str]) -> Output {
    run("ip", words)
}

fn must(words: &[&str]) {
    let output = ip(words);
    assert!(output.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
}

fn processes(namespace: &str) -> Vec<u32> {
    let output = ip(&["netns", "pids", namespace]);
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Ends what still runs in it, and removes it.
fn remove(namespace: &str) {
    for pid in processes(namespace) {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
    drop(ip(&["netns", "del", namespace]));
}

fn remove_stale() {
    let listed = ip(&["netns", "list"]);
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let Some(name) = line.split(' ').next().filter(|name| name.starts_with(PREFIX)) else { continue };
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(name);
        }
    }
}
