//! Traps, or answers `calm` with `?calm`.

use guests_wasi03::{answer, handler, query};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    if query(&request, "calm").is_none() {
        deep_in_the_guest();
    }
    answer(200, "calm\n")
}

#[inline(never)]
fn deep_in_the_guest() {
    std::arch::wasm32::unreachable();
}

handler!(handle);
