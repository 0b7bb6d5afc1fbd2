//! What a server tells at its monitoring port: who leads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take: a server that is stopped gives none.
const PATIENCE: Duration = Duration::from_millis(500);

/// The name of the server that leads all of them, as this one knows it.
pub(crate) fn leader(at: SocketAddr) -> Option<String> {
    let told = ask(at, "/jsz")?;
    named(&told["meta_cluster"]["leader"])
}

/// The name of the server that leads this stream, as this one knows it; the empty name where there is only one.
pub(crate) fn leader_of(at: SocketAddr, stream: &str) -> Option<String> {
    let told = ask(at, "/jsz?accounts=true&streams=true")?;
    let accounts = told["account_details"].as_array()?.iter();
    let mut streams = accounts.filter_map(|account| account["stream_detail"].as_array()).flatten();
    let found = streams.find(|detail| detail["name"] == stream)?;
    match &found["cluster"]["leader"] {
        Value::Null => Some(String::new()),
        leader => named(leader),
    }
}

fn named(leader: &Value) -> Option<String> {
    leader.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn ask(at: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // Version 1.0, so that the answer ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}
