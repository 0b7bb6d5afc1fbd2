//! Which components are linked directly, and that what is not works as a component.

use wasmtime::Precompiled;

use crate::call::Call;
use crate::host::guest;
use crate::pair::{Pair, Words};

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
    pair.end(Words::Same).await;
}
