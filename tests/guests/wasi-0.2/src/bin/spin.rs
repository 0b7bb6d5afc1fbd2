//! Keeps a core busy without an end; with `?ms` only for that long, and answers then.

use guests_wasi02::{answer, handler, number};
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let millis = number(&request, "ms", 0);
    let end = (millis > 0).then(|| monotonic_clock::now() + millis * 1_000_000);
    let mut turns: u64 = 0;
    while end.is_none_or(|end| monotonic_clock::now() < end) {
        for _ in 0..100_000 {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }
    answer(out, 200, &format!("spun {millis}\n"));
}

handler!(handle);
