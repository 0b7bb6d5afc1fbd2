//! Answers with a body and trailers.

use guests_wasi02::{begin, handler, write};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, 200, &[("trailer", "x-checksum")]);
    write(&body, b"with trailers\n");
    let trailers = Fields::from_list(&[("x-checksum".to_owned(), b"abc123".to_vec())]).expect("valid trailers");
    OutgoingBody::finish(body, Some(trailers)).expect("no content-length was promised");
}

handler!(handle);
