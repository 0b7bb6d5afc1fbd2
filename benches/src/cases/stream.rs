//! 64 MiB streamed through an echo function.

use super::Effort;
use crate::component::{ECHO, PLAIN_ECHO, built};
use crate::load::{Protocol, transfer};
use crate::node::{Function, Node};
use crate::peers::{Found, Reuse, hyper, node, wasmtime, workerd};
use crate::percentile::median;
use crate::report::{Better, Column, Goal, Row, Side, Table};
use crate::server::Server;

const OWN: &str = "Samovar, 0.2 SDK";
const OWN_PLAIN: &str = "Samovar, 0.2 plain";
const BYTES: u64 = 64 << 20;

/// What one transfer took.
struct Transfer {
    rate: f64,
    over_yardstick: f64,
    cpu_millis: f64,
    grown_mebibytes: f64,
    peak_mebibytes: f64,
}

/// A server that takes part.
struct Entry {
    name: &'static str,
    side: Side,
    /// `None` when it is not installed.
    server: Option<Server>,
    transfers: Vec<Transfer>,
    /// What went wrong: it is out of the later rounds then.
    failed: Option<anyhow::Error>,
}

impl Entry {
    fn new(name: &'static str, side: Side, server: Option<Server>) -> Self {
        Self { name, side, server, transfers: Vec::new(), failed: None }
    }

    fn peer(name: &'static str, own: &str, server: Option<Server>) -> Self {
        Self::new(name, Side::Peer { against: own.to_owned() }, server)
    }

    fn row(self) -> Row {
        match (&self.server, self.failed) {
            (None, _) => Row::absent(self.name, self.side),
            (Some(_), Some(_)) => Row::missing(self.name, self.side, "failed"),
            (Some(_), None) => Row::new(self.name, self.side, medians(&self.transfers)),
        }
    }
}

/// All servers, one connection.
pub(super) fn stream(found: &Found, effort: Effort) -> anyhow::Result<Table> {
    let mut entries = entries(found)?;
    // The first round warms up and does not count.
    for round in 0..=effort.rounds {
        let mut yardstick = f64::NAN;
        for entry in entries.iter_mut().filter(|entry| entry.failed.is_none()) {
            let Some(server) = &entry.server else { continue };
            let mut transfer = match echo(server) {
                Ok(transfer) => transfer,
                Err(error) if matches!(entry.side, Side::Peer { .. }) => {
                    println!("{} is left out: {error:#}", entry.name);
                    entry.failed = Some(error);
                    continue;
                }
                Err(error) => return Err(error.context(entry.name)),
            };
            if entry.side == Side::Yardstick {
                yardstick = transfer.rate;
            }
            transfer.over_yardstick = transfer.rate / yardstick;
            if round > 0 {
                entry.transfers.push(transfer);
            }
        }
    }
    let rows: Vec<Row> = entries.into_iter().map(Entry::row).collect();
    let (over, grown) = (rows[1].values[1], rows[1].values[3]);
    Ok(Table {
        id: String::new(),
        title: "64 MiB streamed through an echo function".to_owned(),
        conditions: format!(
            "`POST /echo` with 64 MiB, read back while it is sent, over one connection, HTTP/1.1; 64 KiB written at a time. MiB are \
             counted in one direction. Memory grown is the peak of resident memory during the transfer, less what was resident \
             before. Medians of {} transfers, the servers in turn. *Plain* is the same component of the crate `wasip2` at both \
             servers; a peer that broke off, or did not finish within 20 s, *failed*.",
            effort.rounds
        ),
        measured: crate::machine::now(),
        columns: vec![
            Column::new("throughput", "MiB/s", 0, Better::Higher),
            Column::new("over bare hyper", "", 2, Better::Higher),
            Column::new("CPU per transfer", "ms", 1, Better::Lower),
            Column::new("memory grown", "MiB", 1, Better::Lower),
            Column::new("memory at the peak", "MiB", 1, Better::Lower),
        ],
        rows,
        goals: vec![
            Goal::at_least("64 MiB echo: throughput over bare hyper", 0.5, over, ""),
            Goal::at_most("64 MiB echo: memory grown while it streams", 8.0, grown, "MiB"),
        ],
    })
}

fn entries(found: &Found) -> anyhow::Result<Vec<Entry>> {
    let (sdk, plain) = (built(ECHO)?, built(PLAIN_ECHO)?);
    let own = |path| {
        let settings = "limits.request_body = '128MiB'";
        Ok::<_, anyhow::Error>(Node::with(&[Function::new("echo", path).with(settings)])?.into_server())
    };
    let wasmtime = |path| wasmtime(found, path, Reuse::Unlimited);
    Ok(vec![
        Entry::new("bare hyper", Side::Yardstick, Some(hyper(Protocol::Http1)?)),
        Entry::new(OWN, Side::Samovar, Some(own(&sdk)?)),
        Entry::new(OWN_PLAIN, Side::Samovar, Some(own(&plain)?)),
        Entry::peer("wasmtime serve, 0.2 SDK, reuse", OWN, wasmtime(&sdk)?),
        Entry::peer("wasmtime serve, 0.2 plain, reuse", OWN_PLAIN, wasmtime(&plain)?),
        Entry::peer("workerd, JavaScript", OWN, workerd(found)?),
        Entry::peer("Node.js, http", OWN, node(found, Protocol::Http1)?),
    ])
}

fn echo(server: &Server) -> anyhow::Result<Transfer> {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    server.reset_peak_memory()?;
    let (resident, cpu) = (server.memory()?.resident_bytes, server.cpu_time()?);
    let transferred = transfer(&server.address, "/echo", BYTES)?;
    let cpu = server.cpu_time()?.saturating_sub(cpu);
    let peak = server.memory()?.peak_bytes;
    Ok(Transfer {
        rate: transferred.mebibytes_per_second(),
        over_yardstick: f64::NAN,
        cpu_millis: cpu.as_secs_f64() * 1e3,
        grown_mebibytes: mebibytes(peak.saturating_sub(resident)),
        peak_mebibytes: mebibytes(peak),
    })
}

fn medians(transfers: &[Transfer]) -> Vec<f64> {
    if transfers.is_empty() {
        return Vec::new();
    }
    let of = |value: fn(&Transfer) -> f64| median(transfers.iter().map(value).collect());
    vec![
        of(|transfer| transfer.rate),
        of(|transfer| transfer.over_yardstick),
        of(|transfer| transfer.cpu_millis),
        of(|transfer| transfer.grown_mebibytes),
        of(|transfer| transfer.peak_mebibytes),
    ]
}
