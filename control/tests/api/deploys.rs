//! Deploys and rollbacks: what they make, when they answer, and how each refusal reads.

use std::time::Duration;

use samovar_model::Digest;
use samovar_model::api::{Deployed, FunctionSummary};
use serde_json::{Value, json};

use crate::harness::{Api, problem};

#[tokio::test]
async fn a_deploy_makes_a_revision_and_says_where_to_call_it() {
    let api = Api::start();
    let answer = api.try_deploy("hello", "0.2 one", json!({})).await;
    assert_eq!(answer.status, 201);
    let deployed: Deployed = answer.json();
    assert!(deployed.changed);
    assert_eq!((deployed.function.name.as_str(), deployed.function.revision.0), ("hello", 1));
    assert_eq!((deployed.function.artifact, deployed.function.size_bytes), (Digest::of(b"0.2 one"), 7));
    assert_eq!(deployed.function.urls, ["http://127.0.0.1:8080/hello"]);
}

#[tokio::test]
async fn the_same_again_makes_no_revision_and_says_so() {
    let api = Api::start();
    api.deploy("hello", "0.2 one").await;
    let again = api.try_deploy("hello", "0.2 one", json!({})).await;
    assert_eq!(again.status, 200);
    let again: Deployed = again.json();
    assert_eq!((again.changed, again.function.revision.0), (false, 1));
    assert_eq!(api.deploy("hello", "0.2 two").await.function.revision.0, 2);
}

/// Waits until something must have been refused, or else is being waited for.
async fn still_waiting<T>(task: &mut tokio::task::JoinHandle<T>) {
    assert!(tokio::time::timeout(Duration::from_millis(100), task).await.is_err(), "answered too early");
}

#[tokio::test]
async fn deploy_rollback_and_delete_answer_only_when_requests_are_routed() {
    let api = Api::start();
    api.deploy("hello", "0.2 one").await;
    let artifact = api.upload("0.2 two").await.digest;
    let deploy = json!({ "artifact": artifact }).to_string();
    for (version, method, path, body) in [
        (2, "POST", "/v1/functions/hello/revisions", deploy.as_str()),
        (3, "POST", "/v1/functions/hello/rollback", ""),
        (4, "DELETE", "/v1/functions/hello", ""),
    ] {
        api.platform.routed.send_replace(version - 1);
        let router = api.control.router();
        let request = Api::request(method.parse().unwrap(), path, body.to_owned());
        let mut task = tokio::spawn(tower::ServiceExt::oneshot(router, request));
        still_waiting(&mut task).await;
        api.platform.routed.send_replace(version);
        assert!(task.await.unwrap().unwrap().status().is_success(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_deploys_wait_is_part_of_how_long_it_took() {
    let api = Api::start();
    api.platform.routed.send_replace(0);
    let artifact = api.upload("0.2 one").await.digest;
    let deploy = api.post("/v1/functions/hello/revisions", json!({ "artifact": artifact }).to_string());
    let route = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        api.platform.routed.send_replace(1);
    };
    let (answer, ()) = tokio::join!(deploy, route);
    let millis = answer.json::<Deployed>().activate_millis;
    assert!((30..10_000).contains(&millis), "{millis}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused_by_their_key() {
    let api = Api::start();
    for (settings, status, kind, detail) in [
        (
            json!({ "limits": { "memory": "1KiB" } }),
            400,
            "bad-settings",
            "function.a.limits.memory = 1KiB: from 64KiB to 4GiB",
        ),
        (json!({ "route": ["x"] }), 400, "bad-settings", "function.a.route: path `x`: must begin with `/`"),
        (
            json!({ "limits": { "memory": "5" } }),
            400,
            "bad-request",
            "the body is not what is expected here: settings.limits.memory: `5` is not a size: write a whole number and \
             a unit, as in `64KiB`, `128MiB` or `1GiB`",
        ),
        (
            json!({ "env": { "CRASH": "out of bounds" } }),
            422,
            "component-refused",
            "the instance does not start: out of bounds",
        ),
        (
            json!({ "scale": { "concurrency": 4 } }),
            422,
            "component-refused",
            "function.a.scale.concurrency = 4: the component is WASI 0.2, whose instances take one request at a time; set \
             it to 1, or build the component for WASI 0.3",
        ),
    ] {
        let answer = api.try_deploy("a", "0.2 one", settings).await.problem();
        assert_eq!((answer.0, answer.1.as_str()), (status, kind), "{answer:?}");
        assert!(answer.2.starts_with(detail), "{answer:?}");
    }
    assert_eq!(api.get("/v1/functions/a").await.status, 404);
    let concurrent = api.try_deploy("a", "0.3 one", json!({ "scale": { "concurrency": 4 } })).await;
    assert_eq!(concurrent.status, 201);
}

#[tokio::test]
async fn a_body_that_is_not_a_deploy_is_refused_with_the_reason() {
    let api = Api::start();
    for (body, detail) in [
        ("", "missing field `artifact`"),
        ("{", "EOF while parsing"),
        ("[1]", "invalid"),
        ("{\"artifact\": \"x\"}", "artifact: `x` is not a sha256: expected 64 hexadecimal digits"),
        ("{\"settings\": {\"memroy\": 1}}", "settings.memroy: unknown field `memroy`"),
    ] {
        let (status, kind, text) = api.post("/v1/functions/a/revisions", body).await.problem();
        assert_eq!((status, kind.as_str()), (400, "bad-request"), "{body}");
        assert!(text.starts_with("the body is not what is expected here: "), "{text}");
        assert!(text.contains(detail), "{body}: {text}");
    }
    let large = api.post("/v1/functions/a/revisions", " ".repeat((1 << 20) + 1)).await;
    assert_eq!(large.problem(), problem(413, "body-too-large", "the body is larger than 1048576 bytes"));
}

#[tokio::test]
async fn an_artifact_must_be_uploaded_first() {
    let api = Api::start();
    let digest = Digest::of(b"never seen");
    let answer = api.post("/v1/functions/a/revisions", json!({ "artifact": digest }).to_string()).await;
    let expected = format!("no artifact {digest}: upload it first");
    assert_eq!(answer.problem(), problem(422, "no-such-artifact", &expected));
}

#[tokio::test]
async fn a_clash_names_both_functions() {
    let api = Api::start();
    let route = json!({ "route": "/cart/{id}" });
    assert_eq!(api.try_deploy("cart", "0.2 one", route).await.status, 201);
    let answer = api.try_deploy("shop", "0.2 one", json!({ "route": "/cart/{item}" })).await;
    let expected = "route /cart/{item} of function `shop` clashes with function `cart`, which has it already";
    assert_eq!(answer.problem(), problem(409, "route-clash", expected));
}

#[tokio::test]
async fn a_rollback_goes_back_one_or_to_the_revision_named() {
    let api = Api::start();
    for component in ["0.2 one", "0.2 two", "0.2 three"] {
        api.deploy("hello", component).await;
    }
    let rollback = async |body: Value| {
        let answer = api.post("/v1/functions/hello/rollback", body.to_string()).await;
        answer.json::<FunctionSummary>().revision.0
    };
    assert_eq!(rollback(json!({})).await, 2);
    assert_eq!(rollback(json!({ "revision": 3 })).await, 3);
    assert_eq!(rollback(json!({ "revision": 1 })).await, 1);
    let nothing = api.post("/v1/functions/hello/rollback", "").await.problem();
    assert_eq!(nothing, problem(404, "no-such-revision", "function `hello` has no revision before the current one"));
    let unknown = api.post("/v1/functions/hello/rollback", "{\"revision\": 9}").await.problem();
    assert_eq!(unknown, problem(404, "no-such-revision", "function `hello` has no revision 9; kept are 1, 2, 3"));
}
