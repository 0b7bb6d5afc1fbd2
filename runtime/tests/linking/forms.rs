//! Which components are linked directly, and that what is not works as a component.

use std::path::Path;
use std::sync::Arc;

use samovar_model::RequestId;
use samovar_runtime::{Linking, Reach};
use wasmtime::Precompiled;

use crate::call::Call;
use crate::host::{TestHost, guest};
use crate::outcome::Outcome;
use crate::pair::{Pair, Words, form};

fn has_status(outcome: &Outcome, status: u16) -> bool {
    matches!(outcome, Outcome::Answer(answer) if answer.status == status)
}

#[tokio::test]
async fn what_imports_more_than_wasi_runs_as_a_component() {
    let pair = Pair::start();
    let kv = pair.deploy(&guest("kv"), "[function.shop.kv]\ndefault = {}").await;
    assert_eq!(kv.forms(), [Precompiled::Component; 2]);
    for (query, answer) in [
        ("do=get&key=a", "nothing"),
        ("do=set&key=a&value=1", "set"),
        ("do=get&key=a", "1"),
        ("do=increment&key=a&by=41", "42"),
    ] {
        assert_eq!(kv.call(&Call::get(query)).await.body().trim_end(), answer, "{query}");
    }
    for (name, query) in [("reach", ""), ("connect", "to=127.0.0.1:1")] {
        let function = pair.deploy(&guest(name), &format!("[function.{name}]")).await;
        assert_eq!(function.forms(), [Precompiled::Component; 2], "{name}");
        let outcome = function.call(&Call::get(query)).await;
        assert!(has_status(&outcome, 200), "{name}: {outcome:?}");
    }
    pair.end(Words::Same).await;
}

/// `make languages` builds it, which takes tools of its own. Compiling it takes long, so it is not compared.
#[tokio::test]
async fn a_function_in_javascript_runs_as_a_component() {
    let example = "../examples/hello-javascript/dist/hello-javascript.wasm";
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join(example);
    if !component.exists() {
        return;
    }
    let host = TestHost::start(Linking::Direct, Reach::default());
    let hello = host.deploy(&component, "[function.hello]").await;
    assert_eq!(form(&host, &hello), Precompiled::Component);
    let call = Call::get("");
    let answered = host.host.invoke(Arc::clone(&hello.revision), call.request(), RequestId::from_number(1)).await;
    let outcome = Outcome::of(&call, answered).await;
    assert!(has_status(&outcome, 200), "{outcome:?}");
}
