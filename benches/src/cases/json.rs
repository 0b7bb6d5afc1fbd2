//! 10 KiB of JSON in and out, parsed and changed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Effort;
use crate::component::{JSON, built};
use crate::load::{Call, Load, Protocol};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, hyper, node, wasmtime, workerd};
use crate::report::{Goal, Side, Table};
use crate::rounds::{Subject, columns, measure};

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
        ("wasmtime serve, 0.2 SDK, reuse", wasmtime(found, &component, Reuse::Unlimited)?),
        ("workerd, JavaScript", workerd(found)?),
        ("Node.js, http", node(found, load.protocol)?),
    ];
    let subject = |name: &str, side, server| Subject { name: name.to_owned(), side, server, call: call.clone() };
    let mut subjects = vec![
        subject("bare hyper with serde_json, native", Side::Yardstick, Some(&yardstick)),
        subject(OWN, Side::Samovar, Some(&own.server)),
    ];
    for (name, server) in &peers {
        subjects.push(subject(name, Side::Peer { against: OWN.to_owned() }, server.as_ref()));
    }
    let medians = measure(&subjects, load, effort.rounds)?;
    let ours = medians[1].as_ref().map_or(f64::NAN, |own| own.of.cpu_micros);
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for (subject, medians) in subjects.iter().zip(&medians) {
        rows.push(subject.row(medians.as_ref()));
        if let (Side::Peer { .. }, Some(peer)) = (&subject.side, medians) {
            let what = format!("10 KiB JSON: CPU time, ahead of {}", subject.name);
            goals.push(Goal::at_most(what, peer.of.cpu_micros, ours, "us"));
        }
    }
    Ok(Table {
        id: String::new(),
        title: "10 KiB of JSON in and out".to_owned(),
        conditions,
        measured: crate::machine::now(),
        columns: columns("bare hyper", 2),
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
