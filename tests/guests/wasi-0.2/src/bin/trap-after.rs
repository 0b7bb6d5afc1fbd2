//! Answers in full and traps then.

use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let calm = query(&request, "calm").is_some();
    answer(out, 200, "answered\n");
    if !calm {
        std::arch::wasm32::unreachable();
    }
}

handler!(handle);
