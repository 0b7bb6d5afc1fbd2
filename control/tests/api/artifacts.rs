//! Uploads: what is stored, and everything that leaves nothing behind.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{StreamExt, iter, once, pending};
use samovar_control::ControlConfig;
use samovar_model::{ComponentKind, Digest};
use tower::ServiceExt;

use crate::harness::{Api, TOKEN, problem};

fn small() -> Api {
    Api::with(ControlConfig { max_artifact_bytes: 8, ..ControlConfig::new(TOKEN) })
}

fn stream(chunks: &[&'static str]) -> Body {
    Body::from_stream(iter(chunks.to_vec()).map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes()))))
}

#[tokio::test]
async fn a_component_is_checked_and_stored_under_its_digest() {
    let api = Api::start();
    let artifact = api.upload("0.3 hello").await;
    assert_eq!(artifact.digest, Digest::of(b"0.3 hello"));
    assert_eq!((artifact.component.kind, artifact.component.size_bytes), (ComponentKind::Wasi03, 9));
    assert_eq!(artifact.compile_millis, 7);
    let (uploads, stored) = api.files();
    assert!(uploads.is_empty());
    assert_eq!(std::fs::read(&stored[0]).unwrap(), b"0.3 hello");
    assert_eq!(api.upload("0.3 hello").await, artifact, "the same bytes again are the same artifact");
    assert_eq!(api.files().1.len(), 1);
}

#[tokio::test]
async fn a_component_that_cannot_run_is_refused_in_the_platforms_words_and_not_stored() {
    let api = Api::start();
    let answer = api.post("/v1/artifacts", "elf").await;
    let expected = "not a component: it imports `env::spin`";
    assert_eq!(answer.problem(), problem(422, "component-refused", expected));
    assert_eq!(api.files(), (vec![], vec![]));
}

#[tokio::test]
async fn a_host_that_cannot_check_now_asks_to_try_again() {
    let api = Api::start();
    let answer = api.post("/v1/artifacts", "busy").await;
    assert_eq!(answer.problem(), problem(503, "unavailable", "the host has no room to compile"));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(api.files(), (vec![], vec![]));
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused_with_the_limit() {
    let api = small();
    let expected =
        problem(413, "body-too-large", "the component is larger than 8 bytes, the most that can be uploaded");
    assert_eq!(api.post("/v1/artifacts", "0.2456789").await.problem(), expected);
    assert_eq!(api.post("/v1/artifacts", stream(&["0.24", "5678", "9"])).await.problem(), expected);
    assert_eq!(api.files(), (vec![], vec![]));
    assert_eq!(api.post("/v1/artifacts", stream(&["0.24", "5678"])).await.status, 201);
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing() {
    let api = Api::start();
    let begun = once(async { Ok::<_, Infallible>(Bytes::from_static(b"0.2 half")) });
    let body = Body::from_stream(begun.chain(pending()));
    let upload = tokio::spawn(api.control.router().oneshot(Api::request(http::Method::POST, "/v1/artifacts", body)));
    let written = async {
        while !api.files().0.iter().any(|file| std::fs::metadata(file).is_ok_and(|meta| meta.len() == 8)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    assert_eq!(api.files(), (vec![], vec![]));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let api = Api::start();
    let body = iter([Ok(Bytes::from_static(b"0.2 half")), Err("connection reset")]);
    let answer = api.post("/v1/artifacts", Body::from_stream(body)).await;
    assert_eq!(answer.problem(), problem(400, "bad-request", "the upload broke off: connection reset"));
    assert_eq!(api.files(), (vec![], vec![]));
}
