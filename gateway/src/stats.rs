//! What a gateway counts of itself; functions are counted where they run.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A gateway's counters.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) connections_accepted: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) problems: AtomicU64,
}

impl Stats {
    /// Appends the counters in Prometheus' text form.
    pub(crate) fn write(&self, out: &mut String) {
        let counters = [
            (
                "samovar_gateway_connections_accepted_total",
                "counter",
                "Connections accepted.",
                &self.connections_accepted,
            ),
            ("samovar_gateway_connections", "gauge", "Connections open now.", &self.connections_open),
            (
                "samovar_gateway_accept_errors_total",
                "counter",
                "Connections that could not be accepted.",
                &self.accept_errors,
            ),
            ("samovar_gateway_requests_total", "counter", "Requests received.", &self.requests),
            ("samovar_gateway_problems_total", "counter", "Requests answered with a problem document.", &self.problems),
        ];
        for (name, kind, help, value) in counters {
            // Samples of a counter end in `_total`, its name in the metadata does not.
            let family = name.strip_suffix("_total").unwrap_or(name);
            let written =
                write!(out, "# HELP {family} {help}\n# TYPE {family} {kind}\n{name} {}\n", value.load(Relaxed));
            written.expect("writing to a string cannot fail");
        }
    }
}
