use axum::Router;
use axum::routing::{delete, get, put};
use clap::Parser as _;
use samovar_model::api::Info;
use serde_json::json;

use super::*;
use crate::args::{Cli, Command};
use crate::testing::{Captured, pointing_to, serve};

/// A control API with one secret, which a function is granted.
async fn control_api() -> String {
    let secret = || json!({ "name": "STRIPE_KEY", "version": 2, "set": "2026-01-01T00:00:00Z", "key": "older", "granted_to": ["shop"] });
    let info = || async { axum::Json(Info { version: "1".to_owned(), gateway: "http://gateway".to_owned() }) };
    let router = Router::new()
        .route("/v1/info", get(info))
        .route("/v1/secrets", get(async move || axum::Json(json!({ "secrets": [secret()] }))))
        .route("/v1/secrets/STRIPE_KEY", put(async move || axum::Json(secret())))
        .route("/v1/secrets/STRIPE_KEY", delete(async || axum::http::StatusCode::NO_CONTENT));
    serve(router).await
}

async fn secret(args: &[&str]) -> (anyhow::Result<()>, Captured) {
    let captured = Captured::default();
    let cli = Cli::try_parse_from([&["samovar", "secret"], args].concat()).unwrap();
    let Command::Secret(args) = cli.command else { panic!("another command") };
    let global = pointing_to(&control_api().await);
    (run(&args, &global, &mut captured.console()).await, captured)
}

#[tokio::test]
async fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    for args in
        [&["set", "STRIPE_KEY", "sk_live_51"][..], &["set", "STRIPE_KEY=sk_live_51"], &["set", "A", "sk_live", "51"]]
    {
        let refusal = secret(args).await.0.unwrap_err();
        assert!(refusal.is::<Usage>());
        let refusal = refusal.to_string();
        assert!(refusal.contains("no place on the command line") && !refusal.contains("sk_live"), "{refusal}");
    }
    let (refusal, _) = secret(&["set", "sk_live/51"]).await;
    assert!(!refusal.unwrap_err().to_string().contains("sk_live"));
}

#[tokio::test]
async fn a_value_is_read_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "sk_live_51").unwrap();
    let (done, captured) = secret(&["set", "STRIPE_KEY", "--file", file.path().to_str().unwrap()]).await;
    done.unwrap();
    assert_eq!((captured.out().as_str(), captured.notes().as_str()), ("STRIPE_KEY: version 2\n", ""));
    let (refused, _) = secret(&["set", "STRIPE_KEY", "--file", "/no/such/file"]).await;
    assert!(format!("{:#}", refused.unwrap_err()).starts_with("--file /no/such/file: "));
}

#[tokio::test]
async fn the_list_says_who_is_granted_what_and_what_an_older_key_asks_for() {
    let (done, captured) = secret(&["list"]).await;
    done.unwrap();
    let out = captured.out();
    let lines: Vec<Vec<&str>> =
        out.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(
        lines[0].iter().map(|cell| cell.trim()).collect::<Vec<_>>(),
        ["NAME", "VERSION", "SET", "KEY", "GRANTED TO"]
    );
    assert!(out.contains("STRIPE_KEY  2") && out.contains("older  shop"), "{out}");
    assert!(captured.notes().contains("samovar secret reseal"), "{}", captured.notes());
}

#[tokio::test]
async fn removing_warns_of_the_functions_that_are_granted_it() {
    let warning = "warning: `STRIPE_KEY` is granted to shop, which cannot read it then\n";
    let (refused, captured) = secret(&["remove", "STRIPE_KEY"]).await;
    let expected = "nobody can be asked here: give --yes to remove `STRIPE_KEY` without asking";
    assert_eq!((refused.unwrap_err().to_string().as_str(), captured.notes().as_str()), (expected, warning));
    let (done, captured) = secret(&["remove", "STRIPE_KEY", "--yes"]).await;
    done.unwrap();
    assert_eq!((captured.out().as_str(), captured.notes().as_str()), ("STRIPE_KEY: removed\n", warning));
}
