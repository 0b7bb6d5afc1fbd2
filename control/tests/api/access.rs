//! Who may ask, for what, and how a refusal reads.

use axum::body::Body;
use http::{Method, Request};

use crate::harness::{Api, problem};

const HELP: &str =
    "give it as a header `Authorization: Bearer TOKEN`; on the machine of `samovar up` it stands in <data-dir>/token";

fn bare(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn health_and_the_api_description_are_open() {
    let api = Api::start();
    for path in ["/healthz", "/readyz", "/v1/openapi.json"] {
        assert_eq!(api.send(bare(path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn everything_else_needs_the_token() {
    let api = Api::start();
    let paths = [
        "/metrics",
        "/v1/info",
        "/v1/functions",
        "/v1/functions/a",
        "/v1/functions/a/logs",
        "/v1/stats",
        "/v1/secrets",
    ];
    for path in paths {
        let answer = api.send(bare(path)).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"samovar\"", "{path}");
        let expected = problem(401, "unauthorized", &format!("the request has no token: {HELP}"));
        assert_eq!(answer.problem(), expected, "{path}");
    }
    let upload = Request::post("/v1/artifacts").body(Body::from("0.2")).unwrap();
    assert_eq!(api.send(upload).await.status, 401);
    assert_eq!(api.files(), (vec![], vec![]));
}

#[tokio::test]
async fn a_wrong_token_is_told_from_none() {
    let api = Api::start();
    let with = async |value: &str| {
        let request = Request::get("/v1/info").header("authorization", value).body(Body::empty()).unwrap();
        api.send(request).await
    };
    for wrong in ["Bearer nope", "Bearer let-me-i", "Bearer let-me-in2", "Bearer "] {
        let answer = with(wrong).await.problem();
        assert_eq!(answer, problem(401, "unauthorized", &format!("the token is not the right one: {HELP}")), "{wrong}");
    }
    let basic = with("Basic bGV0LW1lLWlu").await.problem().2;
    assert_eq!(basic, format!("the `Authorization` header has no bearer token: {HELP}"));
    assert_eq!(with("bearer let-me-in").await.status, 200);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_problem_that_says_where_to_look() {
    let api = Api::start();
    let expected = "there is nothing at /v1/function; see /v1/openapi.json for what there is";
    assert_eq!(api.get("/v1/function").await.problem(), problem(404, "no-such-path", expected));
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_with_what_is_allowed() {
    let api = Api::start();
    let answer = api.send(Api::request(Method::PUT, "/v1/functions/a", Body::empty())).await;
    let expected = "/v1/functions/a does not take PUT; `allow` says what it takes";
    assert_eq!(answer.problem(), problem(405, "method-not-allowed", expected));
    assert_eq!(answer.headers["allow"], "GET,HEAD,DELETE");
}

#[tokio::test]
async fn a_platform_that_is_not_ready_says_why() {
    let api = Api::start();
    *api.platform.ready.lock().unwrap() = Err("the gateway's listener is not bound".to_owned());
    let answer = api.send(bare("/readyz")).await;
    let expected = "not ready: the gateway's listener is not bound";
    assert_eq!(answer.problem(), problem(503, "unavailable", expected));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(api.send(bare("/healthz")).await.status, 200);
}

#[tokio::test]
async fn the_api_description_is_this() {
    let api = Api::start();
    let answer = api.send(bare("/v1/openapi.json")).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    insta::assert_snapshot!("openapi", answer.text());
}

#[tokio::test]
async fn every_described_operation_is_there_and_has_a_name_of_its_own() {
    let api = Api::start();
    let document: serde_json::Value = api.get("/v1/openapi.json").await.json();
    let mut names = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            let path =
                ["{name}", "{bucket}", "{key}", "{id}"].iter().fold(path.clone(), |path, part| path.replace(part, "a"));
            let answer = api.send(Api::request(method, &path, Body::empty())).await;
            assert!(!answer.text().contains("no-such-path"), "{path}");
            assert_ne!(answer.status, 405, "{path}");
            assert!(names.insert(operation["operationId"].to_string()), "{operation}");
        }
    }
    assert_eq!(names.len(), 36);
}
