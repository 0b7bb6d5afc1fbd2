//! Counts the invocations of its instance: 1, 2, 3, … With `?ms` it sleeps for that long before it answers.

use guests_wasi02::{answer, handler, number, sleep};
use std::sync::atomic::{AtomicU64, Ordering};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

static CALLS: AtomicU64 = AtomicU64::new(0);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    match number(&request, "ms", 0) {
        0 => {}
        millis => sleep(millis),
    }
    answer(out, 200, &count.to_string());
}

handler!(handle);
