//! Promises a body of `?declared` bytes and writes `?actual`.

use guests_wasi02::{begin, handler, number, write};
use wasip2::http::types::{IncomingRequest, OutgoingBody, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let declared = number(&request, "declared", 10).to_string();
    let actual = usize::try_from(number(&request, "actual", 10)).expect("a small number");
    let body = begin(out, 200, &[("content-length", &declared)]);
    write(&body, &vec![b'x'; actual]);
    if let Err(error) = OutgoingBody::finish(body, None) {
        eprintln!("finish: {error:?}");
    }
}

handler!(handle);
