//! Looking at functions, and deleting one.

use samovar_model::api::{FunctionDetail, FunctionList, Info, RevisionList};
use serde_json::json;

use crate::harness::{Api, problem};

#[tokio::test]
async fn info_says_where_functions_are_called() {
    let info: Info = Api::start().get("/v1/info").await.json();
    assert_eq!(info.gateway, "http://127.0.0.1:8080");
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn functions_are_listed_by_name() {
    let api = Api::start();
    assert!(api.get("/v1/functions").await.json::<FunctionList>().functions.is_empty());
    api.deploy("b", "0.2 one").await;
    let a = api.deploy("a", "0.3 two").await;
    let listed = api.get("/v1/functions").await.json::<FunctionList>().functions;
    let names: Vec<_> = listed.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(listed[0], a.function);
}

#[tokio::test]
async fn a_function_is_shown_with_its_settings() {
    let api = Api::start();
    api.try_deploy("a", "0.2 one", json!({ "env": { "GREETING": "hello" } })).await;
    let shown: FunctionDetail = api.get("/v1/functions/a").await.json();
    assert_eq!(shown.summary.revision.0, 1);
    assert_eq!(shown.settings.env["GREETING"], "hello");
    assert_eq!(shown.settings.scale.max_instances, 100);
}

#[tokio::test]
async fn revisions_are_shown_newest_first() {
    let api = Api::start();
    for component in ["0.2 one", "0.2 two", "0.2 three"] {
        api.deploy("a", component).await;
    }
    api.post("/v1/functions/a/rollback", "").await;
    let shown: RevisionList = api.get("/v1/functions/a/revisions").await.json();
    let shown: Vec<_> = shown.revisions.iter().map(|revision| (revision.revision.0, revision.current)).collect();
    assert_eq!(shown, [(3, false), (2, true), (1, false)]);
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_its_numbers_go_on() {
    let api = Api::start();
    api.deploy("a", "0.2 one").await;
    let deleted = api.delete("/v1/functions/a").await;
    assert_eq!((deleted.status.as_u16(), deleted.text()), (204, ""));
    assert_eq!(api.get("/v1/functions/a").await.status, 404);
    assert_eq!(api.delete("/v1/functions/a").await.status, 404);
    assert_eq!(api.deploy("a", "0.2 one").await.function.revision.0, 2);
}

#[tokio::test]
async fn a_function_that_is_not_there_is_404_everywhere() {
    let api = Api::start();
    let expected = problem(404, "no-such-function", "no function `nope`");
    for path in ["", "/revisions", "/logs", "/stats"] {
        assert_eq!(api.get(&format!("/v1/functions/nope{path}")).await.problem(), expected, "{path}");
    }
    assert_eq!(api.delete("/v1/functions/nope").await.problem(), expected);
    assert_eq!(api.post("/v1/functions/nope/rollback", "").await.problem(), expected);
}

#[tokio::test]
async fn a_malformed_name_is_400_everywhere() {
    let api = Api::start();
    let expected = problem(
        400,
        "bad-name",
        "`Hello` is not a function name: use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter and not ending in `-`",
    );
    for path in ["", "/revisions", "/logs", "/stats"] {
        assert_eq!(api.get(&format!("/v1/functions/Hello{path}")).await.problem(), expected, "{path}");
    }
    assert_eq!(api.delete("/v1/functions/Hello").await.problem(), expected);
    assert_eq!(api.post("/v1/functions/Hello/revisions", "{}").await.problem(), expected);
    assert_eq!(api.post("/v1/functions/Hello/rollback", "{}").await.problem(), expected);
    assert_eq!(api.get("/v1/functions/%ff").await.problem().1, "bad-name");
}
