//! `/metrics` in the OpenMetrics text form, which Prometheus reads: the control API's own, then those of all functions,
//! then the rest of the platform's.

use std::fmt;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use samovar_model::FunctionStats;
use samovar_model::api::{Deployed, NamedStats};

use crate::problem::Problem;
use crate::{Control, stats};

/// The content type of OpenMetrics text.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the control API counts itself.
pub(crate) struct Metrics {
    registry: Registry,
    deploys: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let deploys = Family::default();
        registry.register("samovar_deploys", "Deploys by outcome", deploys.clone());
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("samovar_build", "The version that runs", version);
        Self { registry, deploys }
    }

    /// Counts a deploy: `changed`, `unchanged`, `refused` (the caller's to mend) or `failed`.
    pub(crate) fn count_deploy(&self, outcome: &Result<Deployed, Problem>) {
        let outcome = match outcome {
            Ok(deployed) if deployed.changed => "changed",
            Ok(_) => "unchanged",
            Err(problem) if problem.status().is_client_error() => "refused",
            Err(_) => "failed",
        };
        self.deploys.get_or_create(&[("outcome", outcome)]).inc();
    }
}

/// Everything there is to measure. Ends with `# EOF`.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health", responses(
    (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text"),
))]
pub(crate) async fn show(State(control): State<Control>) -> Response {
    let mut functions = Registry::default();
    functions.register_collector(Box::new(Functions(stats::of_all(&control).await)));
    let mut text = String::new();
    let encoded =
        encode_registry(&mut text, &control.0.metrics.registry).and_then(|()| encode_registry(&mut text, &functions));
    control.0.platform.metrics(&mut text);
    encoded.and_then(|()| encode_eof(&mut text)).expect("writing to a string does not fail");
    ([(CONTENT_TYPE, OPENMETRICS)], text).into_response()
}

/// The statistics of all functions at one scrape.
#[derive(Debug)]
struct Functions(Vec<NamedStats>);

/// A sample: the label besides `function`, if there is one, and the value.
type Sample<'a> = (Option<(&'a str, &'a str)>, u64);

impl Collector for Functions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.counter(encoder, "samovar_invocations", "Invocations that have ended.", |stats| {
            vec![(None, stats.invocations)]
        })?;
        self.counter(encoder, "samovar_faults", "Invocations that ended in a fault.", |stats| {
            stats.faults.iter().map(|(kind, count)| (Some(("kind", kind.as_str())), *count)).collect()
        })?;
        self.counter(encoder, "samovar_responses", "Answers of functions by class.", |stats| {
            stats.responses.iter().map(|(class, count)| (Some(("class", class.as_str())), *count)).collect()
        })?;
        self.counter(encoder, "samovar_cold_starts", "Invocations that had to make their instance.", |stats| {
            vec![(None, stats.cold_starts)]
        })?;
        self.gauge(encoder, "samovar_instances", "Instances by what they do.", |stats| {
            vec![(Some(("state", "busy")), stats.busy), (Some(("state", "idle")), stats.idle)]
        })?;
        self.gauge(encoder, "samovar_queued", "Invocations that wait for an instance.", |stats| {
            vec![(None, stats.queued)]
        })?;
        self.durations(encoder)
    }
}

impl Functions {
    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&FunctionStats) -> Vec<Sample<'_>>,
    ) -> fmt::Result {
        let family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        self.samples(family, of, |mut sample, value| sample.encode_counter::<NoLabelSet, u64, u64>(&value, None))
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&FunctionStats) -> Vec<Sample<'_>>,
    ) -> fmt::Result {
        let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        self.samples(family, of, |mut sample, value| sample.encode_gauge(&value))
    }

    fn samples(
        &self,
        mut family: MetricEncoder<'_>,
        of: impl Fn(&FunctionStats) -> Vec<Sample<'_>>,
        encode: impl Fn(MetricEncoder<'_>, u64) -> fmt::Result,
    ) -> fmt::Result {
        for NamedStats { name, stats } in &self.0 {
            for (label, value) in of(stats) {
                let labels: Vec<_> = std::iter::once(("function", name.as_str())).chain(label).collect();
                encode(family.encode_family(&labels)?, value)?;
            }
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time from admission to the end of the answer.";
        let name = "samovar_invocation_duration_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for NamedStats { name, stats } in &self.0 {
            let (buckets, count) = buckets(stats);
            let labels = [("function", name.as_str())];
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(seconds(stats.total_micros), count, &buckets, None)?;
        }
        Ok(())
    }
}

/// The histogram as the encoder wants it: how many in each bucket alone, with a last one that has no bound.
fn buckets(stats: &FunctionStats) -> (Vec<(f64, u64)>, u64) {
    let mut buckets = Vec::with_capacity(stats.histogram.len() + 1);
    let mut below = 0;
    for (bound, cumulative) in &stats.histogram {
        buckets.push((seconds(*bound), cumulative.saturating_sub(below)));
        below = below.max(*cumulative);
    }
    // The counters are read one after the other while invocations end: the whole is never less than its parts.
    let count = stats.invocations.max(below);
    buckets.push((f64::INFINITY, count - below));
    (buckets, count)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
