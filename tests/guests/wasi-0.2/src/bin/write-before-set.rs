//! Writes a part of the body before it sets the response, and the rest after.

use guests_wasi02::handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first call");
    let stream = body.write().expect("the first call");
    // Not flushed: nobody reads before the response is set, so that a flush would wait for ever.
    stream.check_write().expect("open");
    stream.write(b"before, ").expect("room for a few bytes");
    ResponseOutparam::set(out, Ok(response));
    stream.blocking_write_and_flush(b"after\n").expect("the caller is there");
    drop(stream);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

handler!(handle);
