//! Traps, or answers `calm` with `?calm`.

use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if query(&request, "calm").is_none() {
        deep_in_the_guest();
    }
    answer(out, 200, "calm\n");
}

#[inline(never)]
fn deep_in_the_guest() {
    std::arch::wasm32::unreachable();
}

handler!(handle);
