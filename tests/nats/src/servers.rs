//! One server, or three that replicate to each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};

use crate::monitoring;
use crate::server::{Builder, Server};

/// All the servers that one cluster is joined through.
pub struct Servers {
    servers: Vec<Server>,
}

/// Where a server is to be: its address, and the command that takes it there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    pub(crate) under: Vec<String>,
}

impl Servers {
    /// So many on loopback.
    ///
    /// # Panics
    /// With a number other than 1 and 3.
    pub fn start(number: usize) -> Self {
        Self::at(&vec![(Ipv4Addr::LOCALHOST.into(), Vec::new()); number])
    }

    /// One at each of these addresses, started by the command beside it (`ip netns exec NAME`; none for the namespace of
    /// the test).
    ///
    /// # Panics
    /// With a number of addresses other than 1 and 3.
    pub fn at(places: &[(IpAddr, Vec<String>)]) -> Self {
        let places: Vec<_> = places.iter().cloned().map(|(address, under)| Place { address, under }).collect();
        let mut servers = match places.as_slice() {
            [_] => Self { servers: vec![builder(&places[0]).start()] },
            [_, _, _] => Self { servers: three(&places) },
            _ => panic!("one server or three, not {}", places.len()),
        };
        servers.await_leader();
        servers
    }

    /// What members are given as `--join`.
    pub fn urls(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }

    /// How many there are.
    pub fn number(&self) -> usize {
        self.servers.len()
    }

    /// Each of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Server> {
        self.servers.iter_mut()
    }

    /// Ends all of them as `kill -9` does.
    pub fn kill(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }

    /// Starts all of them again, and waits until they can write.
    pub fn restart(&mut self) {
        self.servers.iter_mut().for_each(Server::spawn);
        self.servers.iter_mut().for_each(Server::await_ports);
        self.await_leader();
    }

    /// Stops all of them (SIGSTOP): they answer nothing, and keep their connections.
    pub fn stop(&self) {
        self.servers.iter().for_each(Server::stop);
    }

    /// The end of [`Self::stop`].
    pub fn resume(&self) {
        self.servers.iter().for_each(Server::resume);
    }

    /// Which server leads this stream; `None` when it has no leader, or is not there. A key-value bucket `x` is the stream
    /// `KV_x`.
    pub fn leader_of(&mut self, stream: &str) -> Option<usize> {
        self.ask(|server| monitoring::leader_of(server.monitoring(), stream))
    }

    /// Which server leads all that concerns the servers together; the only one where there is one.
    pub fn leader(&mut self) -> Option<usize> {
        if self.servers.len() == 1 {
            return self.servers[0].is_running().then_some(0);
        }
        self.ask(|server| monitoring::leader(server.monitoring()))
    }

    fn ask(&mut self, question: impl Fn(&Server) -> Option<String>) -> Option<usize> {
        if self.servers.len() == 1 {
            return question(&self.servers[0]).map(|_| 0);
        }
        let running = self.servers.iter_mut().filter_map(|server| server.is_running().then_some(&*server));
        // The answers of those who follow may be old for a while.
        let names: Vec<_> = running.filter_map(|server| Some((server.name()?, question(server)?))).collect();
        let own = names.iter().find(|(name, leader)| name == leader).map(|(name, _)| (*name).to_owned())?;
        self.servers.iter().position(|server| server.name() == Some(&own))
    }

    fn await_leader(&mut self) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.leader().is_none() {
            assert!(Instant::now() < end, "no leader among the NATS servers: {}", self.servers[0].log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Index<usize> for Servers {
    type Output = Server;

    fn index(&self, index: usize) -> &Server {
        &self.servers[index]
    }
}

impl IndexMut<usize> for Servers {
    fn index_mut(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }
}

fn builder(place: &Place) -> Builder {
    let under: Vec<_> = place.under.iter().map(String::as_str).collect();
    Server::builder().bind(place.address).under(&under)
}

fn three(places: &[Place]) -> Vec<Server> {
    // A server must know the others before it starts, so these ports are chosen here, and free again for a moment. In a
    // network namespace of its own a server may have any.
    let own_namespace = |place: &Place| !place.under.is_empty();
    let reserve =
        |place: &Place| (!own_namespace(place)).then(|| TcpListener::bind((place.address, 0)).expect("a free port"));
    // All are held until all are chosen, so that no two are the same.
    let held: Vec<_> = places.iter().map(reserve).collect();
    let chosen = |(place, listener): (&Place, &Option<TcpListener>)| match listener {
        Some(listener) => listener.local_addr().expect("bound"),
        None => SocketAddr::new(place.address, 6222),
    };
    let addresses: Vec<_> = places.iter().zip(&held).map(chosen).collect();
    drop(held);
    let routes = addresses.iter().map(|address| format!("\"nats://{address}\"")).collect::<Vec<_>>().join(", ");
    let with_routes = |(index, (place, listen)): (usize, (&Place, &SocketAddr))| {
        let cluster = format!("cluster {{ name: test, listen: \"{listen}\", routes: [{routes}] }}");
        builder(place).name(&format!("s{index}")).config(&cluster).start()
    };
    places.iter().zip(&addresses).enumerate().map(with_routes).collect()
}
