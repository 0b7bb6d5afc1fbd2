//! Answers the time in milliseconds since 1970 and a random number.

use guests_wasi02::{answer, handler};
use std::time::{SystemTime, UNIX_EPOCH};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let random = wasip2::random::random::get_random_u64();
    answer(out, 200, &format!("{} {random}", now.as_millis()));
}

handler!(handle);
