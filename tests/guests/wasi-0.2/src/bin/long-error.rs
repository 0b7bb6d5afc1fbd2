//! Answers with an error whose text has `?kib`, which the host may want to log.

use guests_wasi02::{handler, number};
use wasip2::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let kib = usize::try_from(number(&request, "kib", 1)).expect("a small number");
    ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("x".repeat(kib << 10)))));
}

handler!(handle);
