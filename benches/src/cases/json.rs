//! 10 KiB of JSON in and out, parsed and changed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Effort;
use super::hello::{columns, row};
use crate::component::{JSON, built};
use crate::load::{Call, Load, Protocol};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, hyper, node, wasmtime, workerd};
use crate::report::{Goal, Row, Side, Table};
use crate::rounds::{Subject, measure};

const OWN: &str = "Samovar, 0.2 SDK";

/// Enough for 10 KiB.
const ITEMS: u64 = 115;

/// All servers give the same bytes for the same order.
pub(super) fn json(found: &Found, effort: Effort) -> anyhow::Result<Table> {
    let component = built(JSON)?;
    let load = Load { protocol: Protocol::Http1, connections: 32, span: effort.span };
    let (order, answer) = order();
    let conditions = format!(
        "`POST /json` with {} bytes, answered with {}: an order of {ITEMS} items, prices raised, items marked, the sum added. Typed \
         with serde in Rust, `JSON.parse` and `JSON.stringify` in JavaScript; every answer compared byte by byte. 32 connections, \
         HTTP/1.1, medians of {} rounds of {:?} in turn.",
        order.len(),
        answer.len(),
        effort.rounds,
        effort.span
    );
    let call = Call { path: "/json", body: Some((order, "application/json")), answer };

    let yardstick = hyper(load.protocol)?;
    let own = Node::with(&[Function::new("json", &component)])?;
    let peers = [
        (
            "wasmtime serve, 0.2 SDK, reuse",
            found.has_wasmtime().then(|| wasmtime(found, &component, Reuse::Unlimited)).transpose()?,
        ),
        ("workerd, JavaScript", found.has_workerd().then(|| workerd(found)).transpose()?),
        ("Node.js, http", found.has_node().then(|| node(found, load.protocol)).transpose()?),
    ];
    let subject = |name: &str, server| Subject { name: name.to_owned(), server, call: call.clone() };
    let mut subjects = vec![subject("bare hyper with serde_json, native", &yardstick), subject(OWN, &own.server)];
    for (name, server) in &peers {
        subjects.extend(server.iter().map(|server| subject(name, server)));
    }
    let medians = measure(&subjects, load, effort.rounds)?;

    let mut measured = medians.iter();
    let mut rows = Vec::new();
    for (subject, side) in subjects.iter().zip([Side::Yardstick, Side::Samovar]) {
        rows.extend(measured.next().map(|medians| row(&subject.name, side, medians)));
    }
    let mut goals = Vec::new();
    for (name, server) in &peers {
        let side = Side::Peer { against: OWN.to_owned() };
        match server.as_ref().and_then(|_| measured.next()) {
            None => rows.push(Row::absent(*name, side)),
            Some(peer) => {
                rows.push(row(name, side, peer));
                let (ours, theirs) = (medians[1].of.cpu_micros, peer.of.cpu_micros);
                goals.push(Goal::at_most(format!("10 KiB JSON: CPU time, ahead of {name}"), theirs, ours, "us"));
            }
        }
    }
    Ok(Table {
        id: String::new(),
        title: "10 KiB of JSON in and out".to_owned(),
        conditions,
        measured: crate::machine::now(),
        columns: columns(),
        rows,
        goals,
    })
}

/// An order of 10 KiB, and what must come for it.
fn order() -> (Bytes, Bytes) {
    let mut items = Vec::new();
    for id in 0..ITEMS {
        items.push(format!(
            r#"{{"id":{id},"name":"item number {id}","price_cents":{},"quantity":{},"tags":["tea","number {}"]}}"#,
            100 + id * 37,
            1 + id % 5,
            id % 7
        ));
    }
    let order = format!(r#"{{"customer":"Ann \"Tea\" Example","items":[{}]}}"#, items.join(","));
    let mut value: Value = serde_json::from_str(&order).expect("it was just written");
    let mut total = 0;
    for item in value["items"].as_array_mut().expect("there are items") {
        let price = item["price_cents"].as_u64().expect("a number");
        let price = price + price / 10;
        total += price * item["quantity"].as_u64().expect("a number");
        item["price_cents"] = json!(price);
    }
    // Written by hand: the order of the keys is part of the answer.
    let items: Vec<String> = value["items"].as_array().expect("there are items").iter().map(priced).collect();
    let answer = format!(r#"{{"customer":"Ann \"Tea\" Example","items":[{}],"total_cents":{total}}}"#, items.join(","));
    (order.into(), answer.into())
}

fn priced(item: &Value) -> String {
    format!(
        r#"{{"id":{},"name":{},"price_cents":{},"quantity":{},"tags":{},"checked":true}}"#,
        item["id"], item["name"], item["price_cents"], item["quantity"], item["tags"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_has_the_size_that_is_told() {
        let (order, answer) = order();
        assert!((9 << 10..11 << 10).contains(&order.len()), "{}", order.len());
        assert!((10 << 10..13 << 10).contains(&answer.len()), "{}", answer.len());
        assert!(serde_json::from_slice::<Value>(&answer).is_ok());
    }
}
