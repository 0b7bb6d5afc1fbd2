//! Answers in full, goes on for `?ms`, and writes `after LABEL` to standard output at the end.

use guests_wasi02::{answer, handler, number, query, sleep};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let label = query(&request, "label").unwrap_or_default();
    let millis = number(&request, "ms", 100);
    answer(out, 200, "answered\n");
    sleep(millis);
    println!("after {label}");
}

handler!(handle);
