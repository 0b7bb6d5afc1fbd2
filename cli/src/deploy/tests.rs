use std::sync::Arc;
use std::sync::Mutex;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use samovar_model::api::{Artifact, ComponentInfo, Info};
use samovar_model::{ComponentKind, Digest};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Captured, TOKEN, function, pointing_to, serve};

/// The smallest component that looks as if it served HTTP: an empty instance, exported under the interface's name.
fn component_bytes() -> Vec<u8> {
    let name = b"wasi:http/incoming-handler@0.2.3";
    // An instance section: one instance made of no exports.
    let mut bytes = b"\0asm\x0d\0\x01\0\x05\x03\x01\x01\x00".to_vec();
    // An export section: one export with its name, sort instance (5), index 0, and no ascribed type.
    let mut section = vec![1, 0, u8::try_from(name.len()).unwrap()];
    section.extend_from_slice(name);
    section.extend_from_slice(&[5, 0, 0]);
    bytes.extend_from_slice(&[11, u8::try_from(section.len()).unwrap()]);
    bytes.extend_from_slice(&section);
    bytes
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A control API that takes every deploy; `changed` is what it says of each.
async fn control_api(seen: &Seen, changed: bool) -> String {
    let uploads = Arc::clone(seen);
    let deploys = Arc::clone(seen);
    let upload = async move |headers: HeaderMap, body: Bytes| {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (length, token) = (header("content-length"), header("authorization"));
        uploads.lock().unwrap().push(format!("upload {length} {token}"));
        Json(Artifact {
            digest: Digest::of(&body),
            component: ComponentInfo {
                kind: ComponentKind::Wasi02,
                size_bytes: body.len() as u64,
                imports: Vec::new(),
                exports: Vec::new(),
            },
            compile_millis: 45,
        })
    };
    let deploy = async move |Json(deploy): Json<Value>| {
        deploys.lock().unwrap().push(format!("deploy {}", deploy["settings"]["env"]));
        let function = function("[function.hello]").summary;
        Json(Deployed { function, changed, activate_millis: 2, unrouted: Vec::new(), warnings: Vec::new() })
    };
    let info = || async { Json(Info { version: "1".to_owned(), gateway: "http://gateway".to_owned() }) };
    let router = Router::new()
        .route("/v1/info", get(info))
        .route("/v1/artifacts", post(upload))
        .route("/v1/functions/hello/revisions", post(deploy));
    serve(router).await
}

fn project(manifest: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("samovar.toml"), manifest).unwrap();
    std::fs::write(dir.path().join("hello.wasm"), component_bytes()).unwrap();
    dir
}

fn args(target: &Path, json: bool) -> DeployArgs {
    DeployArgs {
        target: target.to_owned(),
        name: None,
        only: Vec::new(),
        no_build: false,
        wait: false,
        format: Format { json },
    }
}

const MANIFEST: &str = "[function.hello]\nbuild = \"echo building\"\nartifact = \"hello.wasm\"\nenv = { A = \"b\" }";

#[tokio::test]
async fn a_project_is_built_uploaded_and_activated() {
    let (seen, captured) = (Seen::default(), Captured::default());
    let control = control_api(&seen, true).await;
    let dir = project(MANIFEST);
    run(&args(dir.path(), false), &pointing_to(&control), &mut captured.console()).await.unwrap();
    let length = component_bytes().len();
    assert_eq!(*seen.lock().unwrap(), [format!("upload {length} Bearer {TOKEN}"), r#"deploy {"A":"b"}"#.to_owned()]);
    let out = captured.out();
    let (head, steps) = out.split_once("  build ").unwrap();
    assert_eq!(head, "hello: revision 1\n  http://gateway/hello\n");
    assert!(steps.contains(", compile 45 ms, activate 2.0 ms"), "{steps}");
    assert_eq!(captured.notes(), "$ echo building\n");
}

#[tokio::test]
async fn a_deploy_that_changes_nothing_says_so() {
    let captured = Captured::default();
    let control = control_api(&Seen::default(), false).await;
    let dir = project(MANIFEST);
    run(&args(dir.path(), false), &pointing_to(&control), &mut captured.console()).await.unwrap();
    let first = captured.out().lines().next().unwrap().to_owned();
    assert_eq!(first, "hello: revision 1, unchanged: it has these bytes and settings already");
}

#[tokio::test]
async fn json_has_the_function_and_the_steps() {
    let captured = Captured::default();
    let control = control_api(&Seen::default(), true).await;
    let dir = project(MANIFEST);
    let args = DeployArgs { no_build: true, ..args(dir.path(), true) };
    run(&args, &pointing_to(&control), &mut captured.console()).await.unwrap();
    let out: Value = serde_json::from_str(&captured.out()).unwrap();
    let deployed = &out["functions"][0];
    assert_eq!((&deployed["name"], &deployed["changed"]), (&json!("hello"), &json!(true)));
    assert_eq!(deployed["steps"]["compile_millis"], 45);
    assert_eq!(deployed["steps"]["build_millis"], Value::Null);
    assert_eq!(captured.notes(), "");
}

#[tokio::test]
async fn a_component_needs_a_name_and_a_project_has_its_own() {
    let captured = Captured::default();
    let dir = project(MANIFEST);
    let file = dir.path().join("hello.wasm");
    let error =
        run(&args(&file, false), &pointing_to("http://127.0.0.1:1"), &mut captured.console()).await.unwrap_err();
    assert!(error.is::<Usage>() && error.to_string().ends_with("hello.wasm --name NAME"), "{error}");

    let control = control_api(&Seen::default(), true).await;
    let named = DeployArgs { name: Some("hello".parse().unwrap()), ..args(&file, false) };
    run(&named, &pointing_to(&control), &mut captured.console()).await.unwrap();
    assert!(captured.out().starts_with("hello: revision 1\n"), "{}", captured.out());

    let named = DeployArgs { name: Some("hello".parse().unwrap()), ..args(dir.path(), false) };
    let error = run(&named, &pointing_to(&control), &mut captured.console()).await.unwrap_err();
    assert!(error.is::<Usage>(), "{error}");
}

#[tokio::test]
async fn a_failed_build_deploys_nothing_and_shows_the_tools_words() {
    let (seen, captured) = (Seen::default(), Captured::default());
    let control = control_api(&seen, true).await;
    let dir = project("[function.hello]\nbuild = \"echo no such thing; exit 4\"\nartifact = \"hello.wasm\"");
    let run = run(&args(dir.path(), false), &pointing_to(&control), &mut captured.console()).await;
    let error = format!("{:#}", run.unwrap_err());
    assert_eq!(error, "cannot build function `hello`: `echo no such thing; exit 4` failed (exit status: 4)");
    assert_eq!(captured.notes(), "$ echo no such thing; exit 4\nno such thing\n");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_a_component_is_not_sent() {
    let captured = Captured::default();
    let dir = project("[function.hello]\nartifact = \"samovar.toml\"");
    let run = run(&args(dir.path(), false), &pointing_to("http://127.0.0.1:1"), &mut captured.console()).await;
    let error = format!("{:#}", run.unwrap_err());
    assert!(error.contains("not a WebAssembly component"), "{error}");
}

#[tokio::test]
async fn a_refusal_names_the_function_and_gives_the_reason() {
    let captured = Captured::default();
    let refuse = || async {
        let problem = json!({"type": "/problems/x", "title": "x", "status": 409, "detail": "route /hello clashes"});
        (StatusCode::CONFLICT, Json(problem))
    };
    let info = || async { Json(Info { version: "1".to_owned(), gateway: "http://gateway".to_owned() }) };
    let control = serve(Router::new().route("/v1/info", get(info)).route("/v1/artifacts", post(refuse))).await;
    let dir = project(MANIFEST);
    let run = run(&args(dir.path(), false), &pointing_to(&control), &mut captured.console()).await;
    let error = format!("{:#}", run.unwrap_err());
    assert_eq!(error, "function `hello` was not deployed: route /hello clashes");
}
