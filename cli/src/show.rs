//! `samovar show`: one function with its settings.

use clap::Args;
use jiff::Timestamp;
use samovar_model::api::FunctionDetail;
use samovar_model::{BucketGrant, Durability, FunctionName, Isolation, Schedule, Settings, Subscription};

use crate::args::{Format, Global};
use crate::console::{Console, Paint};
use crate::control::Control;
use crate::human;

/// Show a function and its settings
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar show hello
  samovar show hello --json")]
pub(crate) struct ShowArgs {
    /// The function
    #[arg(value_name = "NAME")]
    name: FunctionName,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: &ShowArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let function = Control::new(global)?.function(&args.name).await?;
    if args.format.json {
        return Ok(console.json(&function)?);
    }
    let rows = rows(&function, Timestamp::now());
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let name = console.paint(Paint::Bold, &function.summary.name);
    console.line(name)?;
    for (key, value) in rows {
        console.line(format_args!("  {key:width$}  {value}"))?;
    }
    Ok(())
}

fn rows(function: &FunctionDetail, now: Timestamp) -> Vec<(String, String)> {
    let FunctionDetail { summary, settings } = function;
    let mut rows = vec![
        ("revision", format!("{}, deployed {}", summary.revision, human::ago(summary.created, now))),
        ("component", format!("{}, {}, {}", summary.kind, human::size(summary.size_bytes), summary.artifact)),
    ];
    rows.extend(settings.routes.iter().map(|route| ("route", route.to_string())));
    rows.extend(crate::deploy::distinct(&summary.urls).into_iter().map(|url| ("url", url.clone())));
    rows.extend(settings.schedules.iter().map(|schedule| ("schedule", shown(schedule))));
    rows.extend(settings.subscriptions.iter().map(|one| ("subscribe", subscription(one, settings))));
    rows.extend(settings_rows(settings));
    let mut rows: Vec<(String, String)> = rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    rows.extend(settings.env.iter().map(|(name, value)| (format!("env.{name}"), value.clone())));
    rows.extend(settings.config.iter().map(|(key, value)| (format!("config.{key}"), value.clone())));
    rows.extend(settings.kv.iter().map(|(name, grant)| (format!("kv.{name}"), bucket(grant))));
    rows
}

/// A bucket's rules in a line.
fn bucket(grant: &BucketGrant) -> String {
    let BucketGrant { ttl, max_bytes, durability, shared } = grant;
    let mut rules = vec![format!("{max_bytes} at most")];
    rules.extend(ttl.map(|ttl| format!("values kept for {ttl}")));
    rules.extend((*durability == Durability::Batched).then(|| "batched writes".to_owned()));
    rules.extend(shared.as_ref().map(|name| format!("shared as {name}")));
    rules.join(", ")
}

/// Names in a line.
fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A schedule in a line.
fn shown(Schedule { cron, zone, path, .. }: &Schedule) -> String {
    format!("{cron} in {zone}, POST {path}")
}

/// A subscription in a line.
fn subscription(subscription: &Subscription, settings: &Settings) -> String {
    let Subscription { subject, path, .. } = subscription;
    let terms = subscription.terms(&settings.jobs);
    let (at_once, retries, backoff) = (terms.concurrency, terms.retries, terms.backoff);
    format!("{subject}, POST {path}, {at_once} at once on a gateway, {retries} retries after {backoff}")
}

fn settings_rows(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings { isolation, limits, scale, outbound, .. } = settings;
    let isolation = match isolation {
        Isolation::Instance => "instance",
        Isolation::Request => "request",
    };
    let max_requests = match scale.max_requests {
        0 => "no limit".to_owned(),
        limit => limit.to_string(),
    };
    vec![
        ("isolation", isolation.to_owned()),
        ("limits.memory", limits.memory.to_string()),
        ("limits.timeout", limits.timeout.to_string()),
        ("limits.cpu", limits.cpu.to_string()),
        ("limits.request_body", limits.request_body.to_string()),
        ("scale.min_warm", scale.min_warm.to_string()),
        ("scale.max_instances", scale.max_instances.to_string()),
        ("scale.concurrency", scale.concurrency.to_string()),
        ("scale.idle_timeout", scale.idle_timeout.to_string()),
        ("scale.max_requests", max_requests),
        ("scale.queue", scale.queue.to_string()),
        ("scale.queue_timeout", scale.queue_timeout.to_string()),
        ("allow_outbound", names(&settings.allow_outbound)),
        ("allow_private", if settings.allow_private { "yes" } else { "no" }.to_owned()),
        ("allow_functions", names(&settings.allow_functions)),
        ("outbound.concurrency", outbound.concurrency.to_string()),
        ("outbound.response_body", outbound.response_body.to_string()),
        ("outbound.timeout", outbound.timeout.to_string()),
        ("secrets", names(&settings.secrets)),
    ]
}
