//! The rows as a page in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::Scale;
use super::row::Row;

/// `docs/cluster-failures.md`: a table of these rows, and how they came about. `skipped` are failures that could not be
/// tried, with the reason.
pub fn page(rows: &[Row], skipped: &[(String, String)], scale: Scale) -> String {
    let mut page = String::new();
    let mut line = |text: &str| writeln!(page, "{text}").expect("writing to a string");
    line("# What happens in each failure, measured\n");
    line(&intro(scale));
    line(
        "\n| failure | sent | failed | p99 before | during | after | well again | run once: sent, failed, twice | deploys: acknowledged, still there |",
    );
    line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        line(&cells(row));
    }
    let failed: Vec<_> = rows.iter().filter(|row| row.failed() + row.once_failed() > 0).collect();
    if !failed.is_empty() {
        line("\nHow requests failed:\n");
    }
    for row in failed {
        let kinds = |failures: &std::collections::BTreeMap<crate::Failure, usize>| {
            failures.iter().map(|(failure, number)| format!("{number} times {failure}")).collect::<Vec<_>>().join(", ")
        };
        let (many, once) = (kinds(&row.failures), kinds(&row.once_failures));
        let told = [("", many), ("to be run once: ", once)].into_iter().filter(|(_, kinds)| !kinds.is_empty());
        let told: Vec<_> = told.map(|(which, kinds)| format!("{which}{kinds}")).collect();
        line(&format!("- {}: {}", row.fault.title(), told.join("; ")));
    }
    if !skipped.is_empty() {
        line("\nNot tried on this machine:\n");
    }
    for (failure, why) in skipped {
        line(&format!("- {failure}: {why}"));
    }
    page
}

fn intro(scale: Scale) -> String {
    let Scale { rate, once_rate, calm, during, away } = scale;
    format!(
        "`make failures` wrote this page: for each row it starts a cluster of the release binary on one machine (three \
hosts, two\ngateways, one control process, one NATS server or three, each in a network namespace of its own where the \
failure is one of\nthe network), sends it {rate} idempotent requests a second (GET) and {once_rate} a second that must \
run at most once (POST, counted by\nthe function itself), and deploys twice a second. After {calm:?} the failure happens; \
it lasts {during:?} unless the row says\notherwise (NATS is away for {away:?}); then it is mended, and {calm:?} later the \
load ends.\n\nA client here sends a request to the gateways in turn, to the other one where one takes no connection, and \
never sends again\nwhat was written to a connection. *Well again* is how long after the failure the last request was due \
that failed or took ten\ntimes the p99 of before (at least 250 ms). Load generator, cluster and NATS share the machine's \
cores, so the latencies are\nthose of a busy machine."
    )
}

fn cells(row: &Row) -> String {
    let [before, during, after] = [row.before, row.during, row.after].map(|window| millis(window.p99));
    let once = format!("{}, {}, {}", row.once_sent, row.once_failed(), row.repeated.len());
    let deploys = format!("{}, {}", row.acknowledged, row.acknowledged - row.lost.len());
    let (title, sent, failed, recovered) = (row.fault.title(), row.sent, row.failed(), millis(row.recovered));
    format!("| {title} | {sent} | {failed} | {before} | {during} | {after} | {recovered} | {once} | {deploys} |")
}

fn millis(span: Duration) -> String {
    match span.as_secs_f64() * 1e3 {
        0.0 => "0".to_owned(),
        millis if millis < 10.0 => format!("{millis:.1} ms"),
        millis if millis < 10_000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.1} s", millis / 1e3),
    }
}
