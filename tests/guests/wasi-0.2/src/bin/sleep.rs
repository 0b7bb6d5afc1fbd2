//! Sleeps for `?ms`, then answers.

use guests_wasi02::{answer, handler, number, sleep};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let millis = number(&request, "ms", 100);
    sleep(millis);
    answer(out, 200, &format!("slept {millis}\n"));
}

handler!(handle);
