//! Panics with a message, or answers `calm` with `?calm`.

use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    assert!(query(&request, "calm").is_some(), "the kettle is dry");
    answer(out, 200, "calm\n");
}

handler!(handle);
