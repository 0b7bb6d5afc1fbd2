//! Asks for `?mib` of random bytes at once, and answers how many it got.

use guests_wasi02::{answer, handler, number};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::random::get_random_bytes;

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let bytes = get_random_bytes(number(&request, "mib", 1) << 20);
    answer(out, 200, &format!("{} bytes\n", bytes.len()));
}

handler!(handle);
