//! Computes `?turns` thousand turns of a loop, however long that takes, and answers then.

use guests_wasi02::{answer, handler, number};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let turns = number(&request, "turns", 1_000);
    let mut done: u64 = 0;
    for _ in 0..turns * 1_000 {
        done = std::hint::black_box(done.wrapping_add(1));
    }
    answer(out, 200, &format!("{done}\n"));
}

handler!(handle);
