//! Warm hello functions, beside the peers' own.

use super::Effort;
use crate::component::{HELLO, HELLO3, PLAIN, built};
use crate::load::{Call, Load, Protocol};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, hyper, node, wasmtime, workerd};
use crate::report::{Goal, Side, Table};
use crate::rounds::{Subject, columns, measure};
use crate::server::Server;

const HYPER: &str = "bare hyper";
const OWN_PLAIN: &str = "Samovar, 0.2 plain";
const OWN_SDK: &str = "Samovar, 0.2 SDK";
const OWN_REQUEST: &str = "Samovar, 0.2 plain, fresh each request";
const OWN_03: &str = "Samovar, 0.3 SDK, concurrency 16";

/// What is aimed at, as ratios to bare hyper.
const AIMS: [(&str, f64); 4] = [(OWN_PLAIN, 1.5), (OWN_SDK, 1.6), (OWN_REQUEST, 2.8), (OWN_03, 3.0)];

/// Another server.
struct Peer {
    name: &'static str,
    /// The row of Samovar's that does the same.
    against: &'static str,
    /// `None` when it is absent.
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

fn compare(effort: Effort, load: Load, peers: Vec<Peer>) -> anyhow::Result<Table> {
    let yardstick = hyper(load.protocol)?;
    let node = deployed()?;
    let call = |path| Call::get(path, "hello from /hello\n");
    let subject = |name: &str, side, server, call| Subject { name: name.to_owned(), side, server, call };
    let own = |name, call| subject(name, Side::Samovar, Some(&node.server), call);
    let mut subjects = vec![
        subject(HYPER, Side::Yardstick, Some(&yardstick), call("/hello")),
        own(OWN_PLAIN, call("/plain")),
        own(OWN_SDK, call("/hello")),
        own(OWN_REQUEST, call("/fresh")),
        own(OWN_03, Call::get("/hello3", "hello from /hello3\n")),
    ];
    for Peer { name, against, server } in &peers {
        let side = Side::Peer { against: (*against).to_owned() };
        subjects.push(subject(name, side, server.as_ref(), call("/hello")));
    }
    let medians = measure(&subjects, load, effort.rounds)?;
    let rows = subjects.iter().zip(&medians).map(|(subject, medians)| subject.row(medians.as_ref())).collect();
    let title = title(load);
    let goals = AIMS.iter().zip(medians[1..].iter().flatten()).map(|((name, aim), medians)| {
        Goal::at_most(format!("{name}: CPU time over bare hyper ({title})"), *aim, medians.ratio, "")
    });
    Ok(Table {
        id: String::new(),
        conditions: conditions(load, effort),
        measured: crate::machine::now(),
        columns: columns("bare hyper", 2),
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

fn peers(found: &Found, protocol: Protocol) -> anyhow::Result<Vec<Peer>> {
    let peer = |name, against, server| Peer { name, against, server };
    let serve = |path: &str, reuse| wasmtime(found, &built(path)?, reuse);
    let node = node(found, protocol)?;
    // The others speak no HTTP/2 without TLS.
    if protocol == Protocol::Http2 {
        return Ok(vec![peer("Node.js, http2", OWN_SDK, node)]);
    }
    Ok(vec![
        peer("wasmtime serve, 0.2 plain, reuse", OWN_PLAIN, serve(PLAIN, Reuse::Unlimited)?),
        peer("wasmtime serve, 0.2 SDK, reuse", OWN_SDK, serve(HELLO, Reuse::Unlimited)?),
        peer("wasmtime serve, 0.2 plain, as it comes", OWN_REQUEST, serve(PLAIN, Reuse::Default)?),
        peer("wasmtime serve, 0.3 SDK, reuse for 10,000", OWN_03, serve(HELLO3, Reuse::Requests(10_000))?),
        peer("wasmtime serve, 0.3 SDK, as it comes", OWN_03, serve(HELLO3, Reuse::Default)?),
        peer("workerd, JavaScript", OWN_SDK, workerd(found)?),
        peer("Node.js, http", OWN_SDK, node),
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
