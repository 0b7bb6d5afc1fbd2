//! Measuring several servers in turn, round after round, so that a machine whose speed drifts favours none of them.

use std::time::Duration;

use anyhow::Context as _;

use crate::load::{self, Call, Load};
use crate::percentile::median;
use crate::server::Server;

/// What is measured: a server and what is asked of it.
pub struct Subject<'a> {
    /// What it is called in the table.
    pub name: String,
    /// The server.
    pub server: &'a Server,
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
    /// CPU time over that of the first subject in the same round.
    pub ratio: f64,
}

/// Measures all subjects so many times, after a shorter round that warms them up. The first one is the yardstick.
///
/// # Errors
/// When a server breaks or answers something else than it should.
pub fn measure(subjects: &[Subject<'_>], load: Load, rounds: usize) -> anyhow::Result<Vec<Medians>> {
    let warm_up = Load { span: load.span.min(Duration::from_secs(1)), ..load };
    for subject in subjects {
        measure_once(subject, warm_up)?;
    }
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let round: Vec<Round> =
            subjects.iter().map(|subject| measure_once(subject, load)).collect::<anyhow::Result<_>>()?;
        measured.push(round);
    }
    let medians = |index: usize| {
        let of = |value: fn(&Round) -> f64| median(measured.iter().map(|round| value(&round[index])).collect());
        Medians {
            of: Round {
                cpu_micros: of(|round| round.cpu_micros),
                rate: of(|round| round.rate),
                p50_micros: of(|round| round.p50_micros),
                p99_micros: of(|round| round.p99_micros),
            },
            // Pair by pair: the machine's speed drifts from round to round.
            ratio: median(measured.iter().map(|round| round[index].cpu_micros / round[0].cpu_micros).collect()),
        }
    };
    Ok((0..subjects.len()).map(medians).collect())
}

/// Puts load on one subject, once.
///
/// # Errors
/// As [`measure`].
pub fn measure_once(subject: &Subject<'_>, load: Load) -> anyhow::Result<Round> {
    let server = subject.server;
    let failed = || format!("{}; it wrote:\n{}", subject.name, server.output());
    let before = server.cpu_time().with_context(failed)?;
    let outcome = load::run(&server.address, &subject.call, load).with_context(failed)?;
    let used = server.cpu_time().with_context(failed)?.saturating_sub(before);
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    Ok(Round {
        cpu_micros: micros(used) / outcome.requests as f64,
        rate: outcome.rate(),
        p50_micros: micros(outcome.percentile(0.5)),
        p99_micros: micros(outcome.percentile(0.99)),
    })
}
