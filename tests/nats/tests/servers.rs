//! The servers do what tests expect of them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::time::Duration;

use samovar_test_nats::{Server, Servers};

/// The first line that the server says to a client, if it says one.
fn greeting(server: &Server) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.starts_with("INFO ").then_some(line)
}

#[test]
fn a_server_keeps_its_port_over_kill_and_restart() {
    let mut server = Server::start();
    let port = server.port();
    assert!(greeting(&server).unwrap().contains("\"jetstream\":true"));
    server.kill();
    assert_eq!((greeting(&server), server.is_running()), (None, false));
    server.restart();
    assert_eq!(server.port(), port);
    assert!(greeting(&server).is_some());
}

#[test]
fn a_stopped_server_answers_nothing_until_it_goes_on() {
    let server = Server::start();
    server.stop();
    assert_eq!(greeting(&server), None);
    server.resume();
    assert!(greeting(&server).is_some());
}

#[test]
fn a_dropped_server_has_ended() {
    let server = Server::start();
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn three_servers_have_another_leader_when_theirs_is_killed() {
    let mut servers = Servers::start(3);
    assert_eq!(servers.urls().split(',').count(), 3);
    let first = servers.leader().unwrap();
    servers[first].kill();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let second = loop {
        match servers.leader() {
            Some(leader) if leader != first => break leader,
            _ => assert!(std::time::Instant::now() < end, "no other leader"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_ne!(second, first);
    servers[first].restart();
    assert!(greeting(&servers[first]).is_some());
}
