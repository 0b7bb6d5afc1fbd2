//! Answers `hello`.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, "hello\n");
}

handler!(handle);
