//! Answers without reading the request's body.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, "not read\n");
}

handler!(handle);
