//! The hello components in JavaScript and Python, warm, beside what the guest alone costs.

use std::time::Duration;

use super::Effort;
use crate::component::{JAVASCRIPT, PYTHON, built};
use crate::guest_alone::GuestAlone;
use crate::load::{Call, Load, Protocol};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, wasmtime};
use crate::percentile::median;
use crate::report::{Goal, Row, Side, Table};
use crate::rounds::{Subject, columns, measure_once, medians};

/// The most that a call through the platform may cost, over the guest alone.
const AIM: f64 = 1.2;

const COMPONENTS: [(&str, &str); 2] = [("JavaScript", JAVASCRIPT), ("Python", PYTHON)];

/// Both languages. The guest alone takes its turn in each round like a server.
pub(super) fn languages(found: &Found, effort: Effort) -> anyhow::Result<Table> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let call = Call::get("/hello", "hello from /hello\n");
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for (language, path) in COMPONENTS {
        let path = built(path)?;
        let own = Node::with(&[Function::new("hello", &path)])?;
        let peer = wasmtime(found, &path, Reuse::Unlimited)?;
        let mut alone = runtime.block_on(GuestAlone::load(&path)).map_err(told)?;
        let own_name = format!("Samovar, {language}");
        let subjects = [
            Subject { name: own_name.clone(), side: Side::Samovar, server: Some(&own.server), call: call.clone() },
            Subject {
                name: format!("wasmtime serve, {language}, reuse"),
                side: Side::Peer { against: own_name },
                server: peer.as_ref(),
                call: call.clone(),
            },
        ];

        let mut loops = Vec::new();
        let mut served = subjects.each_ref().map(|_| Vec::new());
        // The first round warms up and does not count.
        for round in 0..=effort.rounds {
            let span = if round == 0 { effort.span.min(Duration::from_secs(1)) } else { effort.span };
            let load = Load { protocol: Protocol::Http1, connections: 8, span };
            let looped = runtime.block_on(alone.call_for(span, call.path, &call.answer)).map_err(told)?;
            if round > 0 {
                loops.push(looped.micros_per_call());
            }
            for (subject, served) in subjects.iter().zip(&mut served) {
                let measured = measure_once(subject, load)?;
                served.extend(measured.filter(|_| round > 0));
            }
        }

        let values = vec![median(loops.clone()), 1.0];
        rows.push(Row::new(format!("the guest alone, {language}"), Side::Yardstick, values));
        let measured = served.map(|rounds| medians(&rounds, &loops));
        let what = format!("{language} hello, warm: CPU time over the guest alone");
        goals.extend(measured[0].map(|own| Goal::at_most(what, AIM, own.ratio, "")));
        rows.extend(subjects.iter().zip(&measured).map(|(subject, medians)| subject.row(medians.as_ref())));
    }
    Ok(Table {
        id: String::new(),
        title: "Warm hello in JavaScript and Python".to_owned(),
        conditions: format!(
            "The components of `examples/hello-javascript` and `examples/hello-python`; 8 connections, HTTP/1.1; medians of {} rounds \
             of {:?}, all in turn. *The guest alone* is one instance in a plain wasmtime embedding (`benches/src/guest_alone.rs`) \
             whose handler is called in a loop on one thread, without socket, server, limits or metering; the host's side of \
             `wasi:http` is in it, since no call is without it.",
            effort.rounds, effort.span
        ),
        measured: crate::machine::now(),
        columns: columns("the guest alone", 1),
        rows,
        goals,
    })
}

/// wasmtime's error with all its causes, as one of anyhow's.
fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("the guest alone: {error:#}")
}
