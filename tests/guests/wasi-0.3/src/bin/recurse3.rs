//! Calls itself without an end, or answers `calm` with `?calm`.

use guests_wasi03::{answer, handler, query};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    if query(&request, "calm").is_none() {
        std::hint::black_box(deeper(1));
    }
    answer(200, "calm\n")
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn deeper(depth: u64) -> u64 {
    // Something to do after the call, so that it is not a loop.
    std::hint::black_box(depth) + deeper(depth + 1)
}

handler!(handle);
