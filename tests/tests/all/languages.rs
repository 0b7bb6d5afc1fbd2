//! Components made by other toolchains run as they are: nothing in them is Samovar's.

use std::time::Duration;

use samovar_model::ComponentKind;
use samovar_tests::{Callers, Node, repository};

#[tokio::test]
async fn rust_with_plain_bindings_and_with_wstd_as_program_and_as_library() {
    let node = Node::start().await;
    for (guest, text, kind) in [
        ("hello", "hello\n", ComponentKind::Wasi02),
        ("hello-reactor", "hello from a reactor\n", ComponentKind::Wasi02),
        ("hello-wstd", "hello from wstd\n", ComponentKind::Wasi02),
        ("hello3", "hello from wasi 0.3\n", ComponentKind::Wasi03),
    ] {
        let deployed = node.deploy(guest).await;
        assert_eq!(deployed.function.kind, kind, "{guest}");
        assert_eq!(node.call(&format!("/{guest}")).send().await.cold(), text, "{guest}");
        node.settled(guest).await;
        assert_eq!(node.call(&format!("/{guest}")).send().await.warm(), text, "{guest}");
    }
}

/// Builds and deploys an example as its README says, and calls it. While its megabytes are compiled, others are served.
async fn answers_its_path(example: &str) {
    let node = Node::start().await;
    node.deploy("hello").await;
    let dir = repository().join("examples").join(example).display().to_string();
    node.cli(&["build", &dir]).run_long().await;
    let others = Callers::one_with_pauses(&node, "/hello", Duration::from_millis(10));
    node.cli(&["deploy", "--no-build", &dir]).run_long().await;
    let longest = others.stop().await.pop();
    assert!(longest < Some(Duration::from_secs(3)), "a call took {longest:?} while another function was compiled");
    for (path, instance) in [("", "cold"), ("/and/more", "warm"), ("", "warm")] {
        let answer = node.call(&format!("/{example}{path}")).send().await;
        assert_eq!(answer.ok(), format!("hello from /{example}{path}\n"));
        assert_eq!(answer.instance(), instance);
        node.settled(example).await;
    }
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(node.call(&format!("/{example}")).send())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().ok(), format!("hello from /{example}\n"));
    }
    // And again after a restart, from the compiled code.
    let node = node.stop().await.start().await;
    assert_eq!(node.call(&format!("/{example}")).send().await.ok(), format!("hello from /{example}\n"));
}

#[tokio::test]
async fn javascript() {
    answers_its_path("hello-javascript").await;
}

#[tokio::test]
async fn python() {
    answers_its_path("hello-python").await;
}

/// Counts in a bucket, through the same standard interface as the example in Rust.
async fn counts_its_visits(example: &str) {
    let node = Node::start().await;
    node.cli(&["deploy", &repository().join("examples").join(example).display().to_string()]).run_long().await;
    for count in 1..=3 {
        let answer = node.call(&format!("/{example}/tea")).send().await;
        assert_eq!(answer.ok(), format!("/{example}/tea: visit {count}\n"));
    }
}

#[tokio::test]
async fn key_value_from_javascript() {
    counts_its_visits("visits-javascript").await;
}

#[tokio::test]
async fn key_value_from_python() {
    counts_its_visits("visits-python").await;
}
