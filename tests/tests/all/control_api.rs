//! The control API itself: who may call it, what it refuses and in which words, what it says of the platform.

use samovar_tests::{Node, core_module, guest, repository};
use serde_json::json;

#[tokio::test]
async fn nothing_under_v1_answers_without_the_token() {
    let node = Node::start().await;
    for path in ["/v1/info", "/v1/functions", "/v1/stats", "/v1/functions/x/logs"] {
        let none = node.control_call_without_token(path).send().await;
        assert_eq!(none.status, 401, "{path}");
        assert_eq!(none.header("content-type"), "application/problem+json");
        let wrong = node.control_call_without_token(path).header("authorization", "Bearer wrong").send().await;
        assert_eq!(wrong.status, 401, "{path}");
    }
    let upload = node.control_call_without_token("/v1/artifacts").body(core_module()).send().await;
    assert_eq!(upload.status, 401);
    node.control_call("/v1/info").send().await.ok();
}

#[tokio::test]
async fn the_token_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::start().await;
    let token = node.data_dir().join("token");
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&token).unwrap().trim().len() >= 32);
}

#[tokio::test]
async fn info_names_the_gateway() {
    let node = Node::start().await;
    let info = node.control_call("/v1/info").send().await.json();
    assert_eq!(info["gateway"], format!("http://{}", node.gateway()));
    assert!(!info["version"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn health_needs_no_token() {
    let node = Node::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(node.control_call_without_token(path).send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_openapi_document_describes_every_path() {
    let node = Node::start().await;
    let document = node.control_call("/v1/openapi.json").send().await.json();
    let paths = document["paths"].as_object().unwrap();
    for path in ["/v1/info", "/v1/artifacts", "/v1/functions", "/v1/functions/{name}/revisions", "/v1/stats"] {
        assert!(paths.contains_key(path), "{path} in {:?}", paths.keys());
    }
}

#[tokio::test]
async fn a_core_module_is_refused_in_words() {
    let node = Node::start().await;
    let refused = node.upload(core_module()).await.unwrap_err();
    assert_eq!(refused.status, 422);
    for word in ["core", "module", "not a component"] {
        assert!(refused.problem.detail.contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_not_wasm_is_refused_in_words() {
    let node = Node::start().await;
    for bytes in ["", "#!/bin/sh\necho hello\n"] {
        let refused = node.upload(bytes.into()).await.unwrap_err();
        assert!(refused.status == 422 || refused.status == 400, "{refused:?}");
    }
    let mut cut_off = std::fs::read(guest("hello")).unwrap();
    cut_off.truncate(cut_off.len() / 2);
    assert_eq!(node.upload(cut_off.into()).await.unwrap_err().status, 422);
}

#[tokio::test]
async fn an_unknown_import_is_named() {
    let node = Node::start().await;
    let component = std::fs::read(guest("unknown-import")).unwrap();
    let refused = node.upload(component.into()).await.unwrap_err();
    assert_eq!(refused.status, 422);
    assert!(refused.problem.detail.contains("acme:paint/brush@1.0.0"), "{refused:?}");
}

/// A component that would take the place of many is refused when it is deployed.
#[tokio::test]
async fn a_component_of_very_many_memories_is_refused() {
    let node = Node::start().await;
    let module = "(core module $m (memory 1))";
    let instances = "(core instance (instantiate $m))".repeat(500);
    let refused = node.function("wide").wat_text(&handler(&format!("{module}{instances}"))).try_deploy().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.problem.detail.contains("core module instances"), "{refused:?}");
    let table = node.function("table").wat_text(&handler("")).try_deploy().await;
    assert!(table.is_ok(), "{:?}", table.err());
}

/// A component that exports a handler, with more in it.
fn handler(more: &str) -> String {
    std::fs::read_to_string(repository().join("tests/guests/wat/table.wat")).unwrap().replace(";; more", more)
}

#[tokio::test]
async fn a_command_is_refused_with_what_would_be_accepted() {
    let node = Node::start().await;
    let component = std::fs::read(guest("command")).unwrap();
    let refused = node.upload(component.into()).await.unwrap_err();
    assert_eq!(refused.status, 422);
    for word in ["wasi:cli/run", "wasi:http/incoming-handler", "wasi:http/handler"] {
        assert!(refused.problem.detail.contains(word), "{word} in {refused:?}");
    }
}

#[tokio::test]
async fn what_was_refused_leaves_nothing_on_disk() {
    let node = Node::start().await;
    for name in ["unknown-import", "command"] {
        node.upload(std::fs::read(guest(name)).unwrap().into()).await.unwrap_err();
    }
    node.upload(core_module()).await.unwrap_err();
    for dir in ["artifacts/sha256", "artifacts/tmp"] {
        let left = std::fs::read_dir(node.data_dir().join(dir)).unwrap().count();
        assert_eq!(left, 0, "{dir}");
    }
}

#[tokio::test]
async fn settings_are_refused_by_their_key() {
    let node = Node::start().await;
    let artifact = node.upload(std::fs::read(guest("hello")).unwrap().into()).await.unwrap();
    let artifact = artifact.to_string();
    for (settings, words) in [
        (json!({ "memroy": "1MiB" }), vec!["memroy"]),
        (json!({ "limits": { "memory": "lots" } }), vec!["lots"]),
        (json!({ "limits": { "memory": "1KiB" } }), vec!["limits.memory", "1KiB"]),
        (json!({ "route": ["no-slash"] }), vec!["route", "no-slash"]),
        (json!({ "scale": { "max_instances": 0 } }), vec!["scale.max_instances"]),
    ] {
        let body = json!({ "artifact": artifact, "settings": settings });
        let answer = node.control_call("/v1/functions/hello/revisions").json(&body).send().await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(words.iter().all(|word| answer.text().contains(word)), "{}", answer.text());
    }
    let body = json!({ "artifact": "0".repeat(64) });
    let answer = node.control_call("/v1/functions/hello/revisions").json(&body).send().await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let body = json!({ "artifact": artifact });
    let answer = node.control_call("/v1/functions/Not_A_Name/revisions").json(&body).send().await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("Not_A_Name"), "{}", answer.text());
}

#[tokio::test]
async fn a_memory_limit_that_is_too_small_to_start_is_refused_at_deploy() {
    let node = Node::start().await;
    let refused = node.function("hello").with("limits.memory = '64KiB'").try_deploy().await.unwrap_err();
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.problem.detail.contains("memory"), "{refused:?}");
    assert!(refused.problem.detail.contains("64KiB"), "{refused:?}");
}

#[tokio::test]
async fn concurrency_is_refused_for_a_component_of_wasi_0_2() {
    let node = Node::start().await;
    let refused = node.function("hello").with("scale.concurrency = 4").try_deploy().await.unwrap_err();
    assert_eq!(refused.status, 422);
    assert!(refused.problem.detail.contains("scale.concurrency"), "{refused:?}");
    node.function("hello3").with("scale.concurrency = 4").deploy().await;
}

#[tokio::test]
async fn an_upload_past_the_limit_is_refused_before_it_is_read() {
    let node = Node::start().await;
    let mut raw = samovar_tests::Raw::open(node.control()).await;
    let head = format!(
        "POST /v1/artifacts HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        std::fs::read_to_string(node.data_dir().join("token")).unwrap().trim(),
        (256 << 20) + 1
    );
    raw.send(head).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status(), 413, "{answer:?}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let node = Node::start().await;
    let mut raw = samovar_tests::Raw::open(node.control()).await;
    let token = std::fs::read_to_string(node.data_dir().join("token")).unwrap();
    let head = format!(
        "POST /v1/artifacts HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n",
        token.trim(),
    );
    raw.send(head).await;
    raw.send(vec![0; 500_000]).await;
    let uploads = || std::fs::read_dir(node.data_dir().join("artifacts/tmp")).unwrap().count();
    samovar_tests::eventually("the upload has begun", async || uploads(), |count| *count == 1).await;
    raw.close();
    samovar_tests::eventually("nothing is left", async || uploads(), |count| *count == 0).await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problem_documents() {
    let node = Node::start().await;
    let missing = node.control_call("/v1/nothing").send().await;
    assert_eq!((missing.status.as_u16(), missing.header("content-type")), (404, "application/problem+json"));
    let wrong = node.control_call("/v1/info").method(http::Method::DELETE).send().await;
    assert_eq!((wrong.status.as_u16(), wrong.header("content-type")), (405, "application/problem+json"));
    assert!(wrong.header("allow").contains("GET"), "{wrong:?}");
}
