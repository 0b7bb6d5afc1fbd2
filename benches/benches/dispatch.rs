//! The whole way of a request without sockets, in time: from the bytes of a request to the bytes of its answer, through gateway
//! and host, warm and with a fresh instance each; beside hyper alone.
//!
//! What a fresh instance costs is the difference between the second and the third; what leasing, calling and returning a warm
//! one costs with the gateway around it, that between the first and the second. `warm_dispatch` counts instructions instead.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use samovar_benches::in_memory::Conversation;
use samovar_benches::{hyper_alone, local};
use tokio::runtime::Runtime;

/// Functions to measure: a name, a component, a manifest. `make bench` builds the components.
const FUNCTIONS: [(&str, &str, &str); 4] = [
    ("warm, 0.2 plain", "guests/target/wasm32-wasip2/release/bench_plain.wasm", "[function.hello]"),
    ("warm, 0.2 SDK", "../examples/target/wasm32-wasip2/release/hello.wasm", "[function.hello]"),
    (
        "fresh instance, 0.2 plain",
        "guests/target/wasm32-wasip2/release/bench_plain.wasm",
        "[function.hello]\nisolation = \"request\"",
    ),
    (
        "warm, 0.3 SDK",
        "../examples/target/wasip3/wasm32-wasip2/release/hello.wasm",
        "[function.hello.scale]\nconcurrency = 16",
    ),
];

fn dispatch(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("dispatch without sockets");
    group.bench_function("hyper alone", |bencher| {
        bencher.iter_custom(|times| serve(&runtime, times, hyper_alone::serve_hello));
    });
    for (name, component, manifest) in FUNCTIONS {
        let data = tempfile::tempdir().expect("a temporary directory");
        let component = Path::new(component);
        assert!(component.is_file(), "{} is not built; `make bench` builds it", component.display());
        let gateway = runtime
            .block_on(local::gateway(data.path(), component, manifest, samovar_runtime::TICK))
            .expect("a gateway");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| serve(&runtime, times, |conversation| local::serve(&gateway, conversation)));
        });
    }
    group.finish();
}

/// How long so many requests of one connection take.
fn serve<F: Future<Output = ()>>(runtime: &Runtime, times: u64, serve: impl FnOnce(Conversation) -> F) -> Duration {
    let conversation = Conversation::new(times);
    let answered = conversation.answered();
    let started = Instant::now();
    runtime.block_on(serve(conversation));
    let took = started.elapsed();
    assert_eq!(answered.count(), times, "requests that were answered with 200");
    took
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
