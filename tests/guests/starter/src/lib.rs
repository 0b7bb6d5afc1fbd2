//! Answers what the host gave it while it started, before any request; with a variable `FAIL` it panics then.

use guests_wasi02::{answer, handler};
use std::sync::OnceLock;
use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};
use wasip2::random::random::get_random_bytes;

static AT_START: OnceLock<String> = OnceLock::new();

/// Called with what else there is to initialize.
#[used]
#[unsafe(link_section = ".init_array")]
static INITIALIZE: extern "C" fn() = start;

extern "C" fn start() {
    subscribe_duration(1_000_000).block();
    get_stdout().blocking_write_and_flush(b"starting\n").expect("standard output is open");
    let variables: Vec<(String, String)> = std::env::vars().collect();
    assert!(variables.iter().all(|(name, _)| name != "FAIL"), "it would not start");
    let headers: Vec<_> = (0..50).map(|i| (format!("x-{i}"), b"y".to_vec())).collect();
    let fields = Fields::from_list(&headers).expect("valid headers");
    let told = format!("{variables:?} {} {:?}\n", get_random_bytes(1 << 20).len(), fields.entries());
    AT_START.set(told).expect("started once");
}

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, AT_START.get().map_or("not started\n", String::as_str));
}

handler!(handle);
