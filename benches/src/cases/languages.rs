//! The hello components in JavaScript and Python, warm, beside what the guest alone costs.

use std::time::Duration;

use super::Effort;
use crate::component::{JAVASCRIPT, PYTHON, built};
use crate::guest_alone::GuestAlone;
use crate::load::{Call, Load, Protocol};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, wasmtime};
use crate::percentile::median;
use crate::report::{Better, Column, Goal, Row, Side, Table};
use crate::rounds::{Round, Subject, measure_once};

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
        let peer = found.has_wasmtime().then(|| wasmtime(found, &path, Reuse::Unlimited)).transpose()?;
        let mut alone = runtime.block_on(GuestAlone::load(&path)).map_err(told)?;
        let (own_name, peer_name) = (format!("Samovar, {language}"), format!("wasmtime serve, {language}, reuse"));
        let mut subjects = vec![Subject { name: own_name.clone(), server: &own.server, call: call.clone() }];
        subjects.extend(peer.as_ref().map(|server| Subject { name: peer_name.clone(), server, call: call.clone() }));

        let load = Load { protocol: Protocol::Http1, connections: 8, span: effort.span };
        let mut loops = Vec::new();
        let mut served: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
        // The first round warms up and does not count.
        for round in 0..=effort.rounds {
            let span = if round == 0 { effort.span.min(Duration::from_secs(1)) } else { effort.span };
            let looped = runtime.block_on(alone.call_for(span, call.path, &call.answer)).map_err(told)?;
            let measured = subjects
                .iter()
                .map(|subject| measure_once(subject, Load { span, ..load }))
                .collect::<anyhow::Result<Vec<_>>>()?;
            if round > 0 {
                loops.push(looped.micros_per_call());
                served.iter_mut().zip(measured).for_each(|(rounds, round)| rounds.push(round));
            }
        }

        let values = vec![median(loops.clone()), 1.0];
        rows.push(Row::new(format!("the guest alone, {language}"), Side::Yardstick, values));
        let own_row = row(&own_name, Side::Samovar, &served[0], &loops);
        goals.push(Goal::at_most(
            format!("{language} hello, warm: CPU time over the guest alone"),
            AIM,
            own_row.values[1],
            "",
        ));
        rows.push(own_row);
        let side = Side::Peer { against: own_name };
        rows.push(row(&peer_name, side, served.get(1).map_or(&[], Vec::as_slice), &loops));
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
        columns: vec![
            Column::new("CPU per request", "us", 1, Better::Lower),
            Column::new("over the guest alone", "", 2, Better::Lower),
            Column::new("throughput", "requests/s", 0, Better::Higher),
            Column::new("p50", "us", 0, Better::Lower),
            Column::new("p99", "us", 0, Better::Lower),
        ],
        rows,
        goals,
    })
}

/// wasmtime's error with all its causes, as one of anyhow's.
fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("the guest alone: {error:#}")
}

fn row(name: &str, side: Side, rounds: &[Round], alone: &[f64]) -> Row {
    if rounds.is_empty() {
        return Row::absent(name, side);
    }
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let ratio = median(rounds.iter().zip(alone).map(|(round, alone)| round.cpu_micros / alone).collect());
    let values = vec![
        of(|round| round.cpu_micros),
        ratio,
        of(|round| round.rate),
        of(|round| round.p50_micros),
        of(|round| round.p99_micros),
    ];
    Row::new(name, side, values)
}
