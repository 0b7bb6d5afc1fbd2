//! The commands that fetch and print, and what they say when the control API does not let them.

use axum::Json;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use clap::Parser as _;
use samovar_model::FunctionStats;
use samovar_model::api::{FunctionList, NamedStats, StatsList};
use serde_json::{Value, json};

use super::*;
use crate::args::Cli;
use crate::location::TokenSource;
use crate::testing::{Captured, TOKEN, function, pointing_to, serve};

async fn samovar(line: &str, control: &str) -> (anyhow::Result<()>, Captured) {
    let captured = Captured::default();
    let words = ["samovar", "--control", control, "--token", TOKEN];
    let cli = Cli::try_parse_from(words.into_iter().chain(line.split(' '))).unwrap();
    let outcome = crate::run(cli, &mut captured.console()).await;
    (outcome, captured)
}

async fn printed(line: &str, control: &str) -> String {
    let (outcome, captured) = samovar(line, control).await;
    outcome.unwrap();
    captured.out()
}

fn problem(status: StatusCode, detail: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"type": "/problems/x", "title": "x", "status": status.as_u16(), "detail": detail})))
}

const LOGS: &str = concat!(
    r#"{"time":"2026-01-02T03:04:05.678901Z","revision":3,"instance":7,"request_id":"ab12","stream":"stdout","text":"one"}"#,
    "\n",
    r#"{"time":"2026-01-02T03:04:06Z","revision":3,"instance":7,"stream":"crash","text":"panic\nat a\nat b"}"#,
    "\n"
);

async fn control_api() -> String {
    let stats = FunctionStats {
        invocations: 12,
        faults: [("trap".to_owned(), 2), ("deadline".to_owned(), 1)].into(),
        p50_micros: Some(85),
        p99_micros: Some(1_300),
        busy: 1,
        idle: 2,
        cold_starts: 3,
        ..FunctionStats::default()
    };
    let stats = NamedStats { name: "hello".parse().unwrap(), stats };
    let list = || FunctionList { functions: vec![function("[function.hello]").summary] };
    let revisions = json!({"revisions": [
        {"revision": 2, "current": false, "created": "2026-01-01T00:00:00Z", "artifact": "ab".repeat(32), "size_bytes": 2048},
        {"revision": 1, "current": true, "created": "2026-01-01T00:00:00Z", "artifact": "cd".repeat(32), "size_bytes": 1024},
    ]});
    let logs = async |uri: http::Uri| {
        if uri.query() == Some("since=10m&follow=true") { LOGS } else { "" }
    };
    let rollback = async |Json(body): Json<Value>| {
        let mut summary = function("[function.hello]").summary;
        summary.revision = samovar_model::RevisionNumber(body["revision"].as_u64().unwrap_or(9));
        Json(summary)
    };
    let router = Router::new()
        .route("/v1/functions", get(async move || Json(list())))
        .route(
            "/v1/functions/hello",
            get(async || Json(function("[function.hello]"))).delete(async || StatusCode::NO_CONTENT),
        )
        .route("/v1/functions/hello/revisions", get(async move || Json(revisions)))
        .route("/v1/functions/hello/rollback", axum::routing::post(rollback))
        .route("/v1/functions/hello/logs", get(logs))
        .route("/v1/functions/other", get(async || problem(StatusCode::NOT_FOUND, "no function `other`")))
        .route("/v1/stats", get(async move || Json(StatsList { functions: vec![stats], host: None })));
    serve(router).await
}

#[tokio::test]
async fn functions_are_listed_in_columns() {
    let control = control_api().await;
    insta::assert_snapshot!(printed("list", &control).await, @r"
    NAME   REVISION  DEPLOYED  SIZE      KIND      URL
    hello  1         just now  71.3 KiB  WASI 0.2  http://gateway/hello
    ");
    let json: Value = serde_json::from_str(&printed("list --json", &control).await).unwrap();
    assert_eq!(json["functions"][0]["urls"][0], "http://gateway/hello");
}

#[tokio::test]
async fn a_function_is_shown_with_its_settings() {
    let shown = printed("show hello", &control_api().await).await;
    let shown = shown.replace(&samovar_model::Digest::of(b"component").to_string(), "DIGEST");
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn revisions_mark_the_one_that_answers() {
    let shown = printed("revisions hello", &control_api().await).await;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].starts_with("2         ") && lines[1].ends_with("2.0 KiB  abababababab"), "{shown}");
    assert!(lines[2].starts_with("1 *       ") && lines[2].ends_with("1.0 KiB  cdcdcdcdcdcd"), "{shown}");
}

#[tokio::test]
async fn a_rollback_says_which_revision_answers() {
    let control = control_api().await;
    assert_eq!(printed("rollback hello", &control).await, "hello: revision 9 answers now\n  http://gateway/hello\n");
    assert!(printed("rollback hello 3", &control).await.starts_with("hello: revision 3 answers now\n"));
}

#[tokio::test]
async fn nothing_is_deleted_without_a_yes() {
    let control = control_api().await;
    let (outcome, _) = samovar("delete hello", &control).await;
    assert!(outcome.unwrap_err().is::<crate::Usage>());
    assert_eq!(printed("delete hello --yes", &control).await, "hello: deleted\n");
}

#[tokio::test]
async fn logs_have_a_line_for_each_line_and_set_crashes_off() {
    let control = control_api().await;
    insta::assert_snapshot!(printed("logs hello -f --since 10m", &control).await, @r"
    2026-01-02T03:04:05.678Z r3 #7 ab12 out one
    2026-01-02T03:04:06.000Z r3 #7 - crash panic
        at a
        at b
    ");
    assert_eq!(printed("logs hello -f --since 10m --json", &control).await, LOGS);
    assert_eq!(printed("logs hello", &control).await, "");
}

#[tokio::test]
async fn statistics_name_the_kinds_of_faults() {
    insta::assert_snapshot!(printed("stats", &control_api().await).await, @r"
    NAME   INVOCATIONS  P50    P99     BUSY  IDLE  COLD  QUEUED  FAULTS
    hello  12           85 us  1.3 ms  1     2     3     0       3 (deadline 1, trap 2)
    ");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_control_apis_words() {
    let (outcome, _) = samovar("show other", &control_api().await).await;
    assert_eq!(outcome.unwrap_err().to_string(), "no function `other`");
}

#[tokio::test]
async fn when_nobody_listens_the_message_says_what_to_do() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (outcome, _) = samovar("list", &format!("http://{free}")).await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        format!(
            "cannot reach the control API at http://{free}: connection refused; is `samovar up` running? give --control if it \
             listens elsewhere"
        )
    );
}

#[tokio::test]
async fn a_wrong_token_is_told_with_where_it_came_from() {
    let check = async |headers: HeaderMap| match headers.get("authorization") {
        Some(value) if value == "Bearer right" => (StatusCode::OK, Json(json!({"functions": []}))),
        _ => problem(StatusCode::UNAUTHORIZED, "no"),
    };
    let control = serve(Router::new().route("/v1/functions", get(check))).await;
    let (outcome, _) = samovar("list", &control).await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        format!(
            "the control API at {control} did not let us in (the token from --token or SAMOVAR_TOKEN); give --token, \
             SAMOVAR_TOKEN, or --data-dir with the data directory of `samovar up`"
        )
    );
    let mut right = Control::new(&pointing_to(&control)).unwrap();
    right.location.token = Some("right".to_owned());
    right.get::<FunctionList>("/v1/functions").await.unwrap();
    let mut none = right;
    none.location.token = None;
    none.location.token_source = TokenSource::Missing(vec![".samovar".into()]);
    let error = none.get::<FunctionList>("/v1/functions").await.unwrap_err().to_string();
    assert!(error.contains("(no token: there is none in .samovar)"), "{error}");
}

#[tokio::test]
async fn another_server_is_not_taken_for_the_control_api() {
    let control = serve(Router::new().route("/v1/functions", get(async || "<html>"))).await;
    let (outcome, _) = samovar("list", &control).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with(&format!("the answer of {control} is not one of the control API (")), "{error}");
    let (outcome, _) = samovar("stats", &control).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("status 404 Not Found without a problem document"), "{error}");
}
