//! Grows its memory by a page at a time until it is refused, and answers how many MiB it has then; `calm` with `?calm`.

use core::arch::wasm32::{memory_grow, memory_size};
use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if query(&request, "calm").is_some() {
        return answer(out, 200, "calm\n");
    }
    while memory_grow::<0>(1) != usize::MAX {}
    answer(out, 200, &format!("{} MiB\n", memory_size::<0>() / 16));
}

handler!(handle);
