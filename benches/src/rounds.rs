//! Measuring several servers in turn, round after round, so that a machine whose speed drifts favours none of them.

use std::time::Duration;

use anyhow::Context as _;

use crate::load::{self, Call, Load};
use crate::percentile::median;
use crate::report::{Better, Column, Row, Side};
use crate::server::Server;

/// A row to be: a server and what is asked of it.
pub struct Subject<'a> {
    /// What it is called in the table.
    pub name: String,
    /// Whose it is.
    pub side: Side,
    /// The server; `None` when it is absent.
    pub server: Option<&'a Server>,
    /// The request.
    pub call: Call,
}

/// What one server did in one round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// CPU time of the server's processes for each request, in microseconds.
    pub cpu_micros: f64,
    /// Requests a second.
    pub rate: f64,
    /// Median latency in microseconds.
    pub p50_micros: f64,
    /// 99th percentile of the latency in microseconds.
    pub p99_micros: f64,
}

/// The medians of the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Medians {
    /// Of each value by itself.
    pub of: Round,
    /// CPU time over the yardstick's in the same round.
    pub ratio: f64,
}

impl Subject<'_> {
    /// Its row, under [`columns`].
    pub fn row(&self, medians: Option<&Medians>) -> Row {
        let Some(Medians { of, ratio }) = medians else { return Row::absent(&self.name, self.side.clone()) };
        let values = vec![of.cpu_micros, *ratio, of.rate, of.p50_micros, of.p99_micros];
        Row::new(&self.name, self.side.clone(), values)
    }
}

/// What rows of medians have, beside this yardstick.
pub fn columns(yardstick: &str, cpu_digits: usize) -> Vec<Column> {
    vec![
        Column::new("CPU per request", "us", cpu_digits, Better::Lower),
        Column::new(&format!("over {yardstick}"), "", 2, Better::Lower),
        Column::new("throughput", "requests/s", 0, Better::Higher),
        Column::new("p50", "us", 0, Better::Lower),
        Column::new("p99", "us", 0, Better::Lower),
    ]
}

/// Measures all subjects so many times, after a shorter round that warms them up. The first one is the yardstick. What is absent
/// has no medians.
///
/// # Errors
/// When a server breaks or answers something else than it should.
pub fn measure(subjects: &[Subject<'_>], load: Load, rounds: usize) -> anyhow::Result<Vec<Option<Medians>>> {
    let warm_up = Load { span: load.span.min(Duration::from_secs(1)), ..load };
    for subject in subjects {
        measure_once(subject, warm_up)?;
    }
    let mut measured: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (subject, measured) in subjects.iter().zip(&mut measured) {
            measured.extend(measure_once(subject, load)?);
        }
    }
    let yardstick: Vec<f64> = measured.first().into_iter().flatten().map(|round| round.cpu_micros).collect();
    Ok(measured.iter().map(|rounds| medians(rounds, &yardstick)).collect())
}

/// The medians of rounds, and of their ratios to the yardstick's CPU time in the same rounds; none when there are no rounds.
pub fn medians(rounds: &[Round], yardstick: &[f64]) -> Option<Medians> {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let medians = Medians {
        of: Round {
            cpu_micros: of(|round| round.cpu_micros),
            rate: of(|round| round.rate),
            p50_micros: of(|round| round.p50_micros),
            p99_micros: of(|round| round.p99_micros),
        },
        // Pair by pair: the machine's speed drifts from round to round.
        ratio: median(rounds.iter().zip(yardstick).map(|(round, yardstick)| round.cpu_micros / yardstick).collect()),
    };
    (!rounds.is_empty()).then_some(medians)
}

/// Puts load on one subject, once, unless it is absent.
///
/// # Errors
/// As [`measure`].
pub fn measure_once(subject: &Subject<'_>, load: Load) -> anyhow::Result<Option<Round>> {
    let Some(server) = subject.server else { return Ok(None) };
    let failed = || format!("{}; it wrote:\n{}", subject.name, server.output());
    let before = server.cpu_time().with_context(failed)?;
    let outcome = load::run(&server.address, &subject.call, load).with_context(failed)?;
    let used = server.cpu_time().with_context(failed)?.saturating_sub(before);
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    Ok(Some(Round {
        cpu_micros: micros(used) / outcome.requests as f64,
        rate: outcome.rate(),
        p50_micros: micros(outcome.percentile(0.5)),
        p99_micros: micros(outcome.percentile(0.99)),
    }))
}
