//! Sets the response, writes `half` and drops the body unfinished.

use guests_wasi02::{begin, handler, write};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, 200, &[]);
    write(&body, b"half");
    drop(body);
}

handler!(handle);
