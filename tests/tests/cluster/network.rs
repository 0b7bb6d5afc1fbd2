//! The network that partitions are made in does what tests expect of it. Needs root: says so and passes where it is not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use samovar_test_nats::{Server, Servers};
use samovar_tests::{Link, Network, Place};

/// A network, or the reason why there is none, printed.
fn network() -> Option<Network> {
    match Network::unavailable() {
        None => Some(Network::start()),
        Some(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Whether a connection is accepted within this time.
fn connects(to: SocketAddr) -> bool {
    TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok()
}

/// Whether one who is at `from` reaches a NATS server.
fn reaches(from: &Place, server: &Server) -> bool {
    let address = server.url().replace("nats://", "").replace(':', "/");
    let words = from.under();
    let script = format!("exec 3<>/dev/tcp/{address} && head -c 4 <&3");
    let tried = Command::new(&words[0]).args(&words[1..]).args(["timeout", "0.7", "bash", "-c", &script]).output();
    tried.unwrap().stdout == b"INFO"
}

#[test]
fn what_is_cut_is_lost_in_one_direction_and_heals() {
    let Some(mut network) = network() else { return };
    let (server_at, client_at, other_at) = (network.add(), network.add(), network.add());
    let servers = Servers::at(&[(server_at.address(), server_at.under())]);
    let server = &servers[0];
    let address: SocketAddr = server.url().strip_prefix("nats://").unwrap().parse().unwrap();
    assert!(connects(address) && reaches(&client_at, server) && reaches(&other_at, server));

    for (from, to) in [(&client_at, &server_at), (&server_at, &client_at)] {
        network.cut(from, to);
        assert!(!reaches(&client_at, server));
        assert!(connects(address) && reaches(&other_at, server), "nobody else is concerned");
        network.heal();
        assert!(reaches(&client_at, server));
    }
}

#[test]
fn an_open_connection_is_silent_while_it_is_cut_and_goes_on_after_that() {
    let Some(mut network) = network() else { return };
    let (place, test) = (network.add(), network.test());
    let listener = TcpListener::bind((test.address(), 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string().replace(':', "/");
    let words = place.under();
    let script = format!("exec 3<>/dev/tcp/{address}; while read -r line <&3; do echo \"$line\" >&3; done");
    let mut echoing = Command::new(&words[0]).args(&words[1..]).args(["bash", "-c", &script]).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();

    let hears = |patience: Duration| {
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut read = [0; 6];
        (&stream).read_exact(&mut read).is_ok_and(|()| read == *b"hello\n")
    };
    let say = || (&stream).write_all(b"hello\n").unwrap();
    say();
    assert!(hears(Duration::from_secs(10)));
    network.cut(&place, &test);
    say();
    assert!(!hears(Duration::from_millis(500)));
    network.heal();
    // Sent again by the kernel, at intervals that grow.
    assert!(hears(Duration::from_secs(10)));
    echoing.kill().unwrap();
    echoing.wait().unwrap();
}

#[test]
fn a_narrow_link_is_slow_until_it_is_not() {
    let Some(mut network) = network() else { return };
    let place = network.add();
    let servers = Servers::at(&[(place.address(), place.under())]);
    let address: SocketAddr = servers.urls().strip_prefix("nats://").unwrap().parse().unwrap();
    // What a client sends is answered only when all of it has come.
    let exchange = || {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        let payload = "x".repeat(30_000);
        write!(stream, "CONNECT {{\"verbose\":false}}\r\nPUB s 30000\r\n{payload}\r\nPING\r\n").unwrap();
        let mut heard = String::new();
        let mut read = [0; 4096];
        while !heard.contains("PONG") {
            let count = stream.read(&mut read).unwrap();
            assert!(count > 0, "{heard}");
            heard += &String::from_utf8_lossy(&read[..count]);
        }
        begun.elapsed()
    };
    assert!(exchange() < Duration::from_millis(400));
    // 240,000 bits.
    assert!(network.slow(&place, Link::Narrow(256)));
    assert!(exchange() > Duration::from_millis(600));
    network.fast(&place);
    assert!(exchange() < Duration::from_millis(400));
    if network.slow(&place, Link::Late(Duration::from_millis(300))) {
        assert!(exchange() > Duration::from_millis(600));
    } else {
        eprintln!("not tried: this kernel has no netem, so links here are narrow and never late");
    }
}

#[test]
fn nothing_is_left_of_a_network_not_even_its_processes() {
    let Some(mut network) = network() else { return };
    let place = network.add();
    let words = place.under();
    let mut left = Command::new(&words[0]).args(&words[1..]).args(["sleep", "1000"]).spawn().unwrap();
    let begun = Instant::now();
    while network.processes() != [left.id()] {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let outside = network.test().address();
    drop(network);
    assert!(!left.wait().unwrap().success(), "killed");
    assert!(TcpListener::bind((outside, 0)).is_err(), "the address is gone");
    let namespaces = Command::new("ip").args(["netns", "list"]).output().unwrap().stdout;
    let own = format!("samovar-test-{}-", std::process::id());
    // Tests of the same process may have networks at this moment, this one not.
    let listed = String::from_utf8(namespaces).unwrap();
    let name = words.last().unwrap();
    assert!(name.starts_with(&own) && !listed.lines().any(|line| line.starts_with(name.as_str())), "{listed}");
}

#[test]
fn what_a_killed_test_has_left_is_removed_by_the_next_one() {
    let Some(network) = network() else { return };
    drop(network);
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let name = format!("samovar-test-{}-251-0", ended.id());
    assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
    let mut left = Command::new("ip").args(["netns", "exec", &name, "sleep", "1000"]).spawn().unwrap();
    let in_it = || Command::new("ip").args(["netns", "pids", &name]).output().unwrap().stdout;
    let begun = Instant::now();
    while in_it().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    drop(Network::start());
    assert!(!left.wait().unwrap().success(), "killed");
    let namespaces = Command::new("ip").args(["netns", "list"]).output().unwrap().stdout;
    assert!(!String::from_utf8(namespaces).unwrap().contains(&name));
}
