//! Sends a body without an end, as fast as it is read; `calm` with `?calm`.

use guests_wasi02::{answer, begin, handler, query};
use std::io::Write as _;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if query(&request, "calm").is_some() {
        return answer(out, 200, "calm\n");
    }
    let body = begin(out, 200, &[]);
    let mut stream = body.write().expect("the first call");
    let bytes = vec![b'x'; 64 << 10];
    while stream.write_all(&bytes).is_ok() {}
}

handler!(handle);
