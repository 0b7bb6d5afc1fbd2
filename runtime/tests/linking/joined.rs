//! Guests of several modules, which are joined to one: a language's runtime and what it brings along. `make languages` builds them,
//! which takes tools of its own.

use std::path::{Path, PathBuf};

use wasmtime::Precompiled;

use crate::call::Call;
use crate::pair::{Pair, Words};

/// An example's component, if it has been built.
fn example(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/{name}/dist/{name}.wasm"));
    path.exists().then_some(path)
}

async fn is_the_same(name: &str) {
    let Some(component) = example(name) else { return };
    let pair = Pair::start();
    let function = pair.deploy(&component, &format!("[function.{name}]\nenv = {{ A = \"1\" }}")).await;
    assert_eq!(function.forms(), [Precompiled::Module, Precompiled::Component]);
    let path =
        |path: &str| Call::new(http::Method::GET, &format!("http://host.example{path}")).header("host", "host.example");
    let mut calls = vec![path("/"), path("/a/path?with=a&query"), path(&format!("/{}", "long/".repeat(1_000)))];
    calls.push(Call::get("").method("HEAD"));
    calls.push(Call::get("").header("x-text", "a".repeat(5_000)).header("x-bytes", b"\xe4"));
    calls.push(Call::post("").piece("one, ").piece("two\n").trailers([("x-sum", "abc")]));
    calls.push(Call::post("").piece("x".repeat(300_000)));
    calls.push(Call::post("").piece("half").breaks());
    // Often enough for the runtime to clean up.
    for _ in 0..20 {
        for call in &calls {
            function.call(call).await;
        }
    }
    let answer = function.call(&path("/again")).await;
    assert!(answer.body().starts_with("hello from /again"), "{answer:?}");
    pair.end(Words::Same).await;
}

#[tokio::test]
async fn javascript_does_the_same() {
    is_the_same("hello-javascript").await;
}

#[tokio::test]
async fn python_does_the_same() {
    is_the_same("hello-python").await;
}
