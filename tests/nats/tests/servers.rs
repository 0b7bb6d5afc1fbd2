//! The servers do what tests expect of them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead as _, BufReader, Write as _};
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
    let second = eventually(|| servers.leader().filter(|leader| *leader != first));
    assert_ne!(second, first);
    servers[first].restart();
    assert!(greeting(&servers[first]).is_some());
}

#[test]
fn a_stream_has_a_leader_and_another_one_when_that_is_killed() {
    for number in [1, 3] {
        let mut servers = Servers::start(number);
        assert_eq!(servers.leader_of("KV_x"), None);
        make_stream(&servers[0], "KV_x", number);
        let first = eventually(|| servers.leader_of("KV_x"));
        servers[first].kill();
        if number == 3 {
            eventually(|| servers.leader_of("KV_x").filter(|leader| *leader != first));
        } else {
            assert_eq!(servers.leader_of("KV_x"), None);
        }
        servers.restart();
        eventually(|| servers.leader_of("KV_x"));
    }
}

/// Looks until there is something to see.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(std::time::Instant::now() < end, "not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Makes a stream. A server that has just begun may forget a request, so it is repeated.
fn make_stream(server: &Server, name: &str, replicas: usize) {
    let config = format!("{{\"name\":\"{name}\",\"subjects\":[\"{name}.>\"],\"num_replicas\":{replicas}}}");
    let told = eventually(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(stream, "CONNECT {{\"verbose\":false}}\r\nSUB told 1\r\n").ok()?;
        write!(stream, "PUB $JS.API.STREAM.CREATE.{name} told {}\r\n{config}\r\n", config.len()).ok()?;
        BufReader::new(stream).lines().map_while(Result::ok).find(|line| line.starts_with('{'))
    });
    assert!(told.contains("\"created\""), "{told}");
}
