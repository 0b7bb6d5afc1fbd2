//! Returns without an answer.

use guests_wasi02::handler;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    drop(out);
}

handler!(handle);
