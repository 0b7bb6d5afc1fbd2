//! Warm hello functions, beside the peers' own.

use std::path::Path;

use super::Effort;
use crate::component::{HELLO, HELLO3, PLAIN, built};
use crate::load::{Call, Load, Protocol};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, hyper, node, wasmtime, workerd};
use crate::report::{Better, Column, Goal, Row, Side, Table};
use crate::rounds::{Medians, Subject, measure};
use crate::server::Server;

const HYPER: &str = "bare hyper";
const OWN_PLAIN: &str = "Samovar, 0.2 plain";
const OWN_SDK: &str = "Samovar, 0.2 SDK";
const OWN_REQUEST: &str = "Samovar, 0.2 plain, fresh each request";
const OWN_03: &str = "Samovar, 0.3 SDK, concurrency 16";

/// What is aimed at, as ratios to bare hyper.
const AIMS: [(&str, f64); 4] = [(OWN_PLAIN, 1.5), (OWN_SDK, 1.6), (OWN_REQUEST, 2.8), (OWN_03, 3.0)];

/// A server that takes part, or one that is absent.
struct Entry {
    name: &'static str,
    side: Side,
    server: Option<Server>,
}

/// All servers, all of them called at `/hello` for the same bytes.
pub(super) fn hello(found: &Found, effort: Effort, protocol: Protocol, connections: usize) -> anyhow::Result<Table> {
    let load = Load { protocol, connections, span: effort.span };
    compare(effort, load, peers(found, protocol)?)
}

/// Bare hyper and Samovar alone.
pub(super) fn quick(effort: Effort) -> anyhow::Result<Table> {
    compare(effort, Load { protocol: Protocol::Http1, connections: 32, span: effort.span }, Vec::new())
}

fn compare(effort: Effort, load: Load, peers: Vec<Entry>) -> anyhow::Result<Table> {
    let yardstick = hyper(load.protocol)?;
    let node = deployed()?;
    let call = |path| Call::get(path, "hello from /hello\n");
    let subject = |name: &str, server, call| Subject { name: name.to_owned(), server, call };
    let mut subjects = vec![
        subject(HYPER, &yardstick, call("/hello")),
        subject(OWN_PLAIN, &node.server, call("/plain")),
        subject(OWN_SDK, &node.server, call("/hello")),
        subject(OWN_REQUEST, &node.server, call("/fresh")),
        subject(OWN_03, &node.server, Call::get("/hello3", "hello from /hello3\n")),
    ];
    for peer in &peers {
        if let Some(server) = &peer.server {
            subjects.push(subject(peer.name, server, call("/hello")));
        }
    }
    let medians = measure(&subjects, load, effort.rounds)?;

    let sides = [Side::Yardstick].into_iter().chain(std::iter::repeat_n(Side::Samovar, AIMS.len()));
    let mut measured = subjects.iter().zip(&medians);
    let mut rows: Vec<Row> =
        sides.zip(measured.by_ref()).map(|(side, (subject, m))| row(&subject.name, side, m)).collect();
    for peer in &peers {
        rows.push(match peer.server.is_some().then(|| measured.next()).flatten() {
            Some((_, medians)) => row(peer.name, peer.side.clone(), medians),
            None => Row::absent(peer.name, peer.side.clone()),
        });
    }
    let title = title(load);
    let goals = AIMS.iter().zip(&medians[1..]).map(|((name, aim), medians)| {
        Goal::at_most(format!("{name}: CPU time over bare hyper ({title})"), *aim, medians.ratio, "")
    });
    Ok(Table {
        id: String::new(),
        conditions: conditions(load, effort),
        measured: crate::machine::now(),
        columns: columns(),
        goals: goals.collect(),
        rows,
        title,
    })
}

fn deployed() -> anyhow::Result<Node> {
    let plain = built(PLAIN)?;
    let functions = [
        Function::new("plain", &plain),
        Function::new("hello", built(HELLO)?),
        Function::new("fresh", &plain).with("isolation = \"request\""),
        Function::new("hello3", built(HELLO3)?).with("scale.concurrency = 16"),
    ];
    Node::with(&functions)
}

fn peers(found: &Found, protocol: Protocol) -> anyhow::Result<Vec<Entry>> {
    let entry = |name, own: &str, server| Entry { name, side: Side::Peer { against: own.to_owned() }, server };
    let serve = |path: &str, reuse| {
        let path: &Path = &built(path)?;
        found.has_wasmtime().then(|| wasmtime(found, path, reuse)).transpose()
    };
    let node = found.has_node().then(|| node(found, protocol)).transpose()?;
    // The others speak no HTTP/2 without TLS.
    if protocol == Protocol::Http2 {
        return Ok(vec![entry("Node.js, http2", OWN_SDK, node)]);
    }
    Ok(vec![
        entry("wasmtime serve, 0.2 plain, reuse", OWN_PLAIN, serve(PLAIN, Reuse::Unlimited)?),
        entry("wasmtime serve, 0.2 SDK, reuse", OWN_SDK, serve(HELLO, Reuse::Unlimited)?),
        entry("wasmtime serve, 0.2 plain, as it comes", OWN_REQUEST, serve(PLAIN, Reuse::Default)?),
        entry("wasmtime serve, 0.3 SDK, reuse", OWN_03, serve(HELLO3, Reuse::Unlimited)?),
        entry("wasmtime serve, 0.3 SDK, as it comes", OWN_03, serve(HELLO3, Reuse::Default)?),
        entry("workerd, JavaScript", OWN_SDK, found.has_workerd().then(|| workerd(found)).transpose()?),
        entry("Node.js, http", OWN_SDK, node),
    ])
}

fn title(load: Load) -> String {
    let protocol = match load.protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
    };
    let plural = if load.connections == 1 { "" } else { "s" };
    format!("Warm hello, {protocol}, {} connection{plural}", load.connections)
}

fn conditions(load: Load, effort: Effort) -> String {
    let requests = match load.protocol {
        Protocol::Http1 => "kept-alive connections",
        Protocol::Http2 => "connections without TLS, by prior knowledge, one stream at a time on each",
    };
    format!(
        "`GET /hello`, answered `hello from /hello` (`/hello3` by the function of WASI 0.3); every answer checked. Closed loop over {requests}, the load generator on one \
         thread of the same machine. Medians of {} rounds of {:?}, the servers in turn; the ratio is taken within each round.",
        effort.rounds, load.span
    )
}

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::new("CPU per request", "us", 2, Better::Lower),
        Column::new("over bare hyper", "", 2, Better::Lower),
        Column::new("throughput", "requests/s", 0, Better::Higher),
        Column::new("p50", "us", 0, Better::Lower),
        Column::new("p99", "us", 0, Better::Lower),
    ]
}

pub(super) fn row(name: &str, side: Side, medians: &Medians) -> Row {
    let of = &medians.of;
    let values = vec![of.cpu_micros, medians.ratio, of.rate, of.p50_micros, of.p99_micros];
    Row::new(name, side, values)
}
