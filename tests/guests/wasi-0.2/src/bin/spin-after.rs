//! Answers in full and keeps a core busy then without an end.

use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let calm = query(&request, "calm").is_some();
    answer(out, 200, "answered\n");
    let mut turns: u64 = 0;
    while !calm {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

handler!(handle);
