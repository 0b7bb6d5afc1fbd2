//! Sets the response, writes `half` and says nothing more for an hour.

use guests_wasi02::{begin, handler, sleep, write};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, 200, &[]);
    write(&body, b"half");
    sleep(3_600_000);
}

handler!(handle);
