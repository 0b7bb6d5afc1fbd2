//! Answers `hello`, with no more calls than an answer takes.

use guests_wasi02::handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let content_type = ("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec());
    let response = OutgoingResponse::new(Fields::from_list(&[content_type]).expect("a valid header"));
    let body = response.body().expect("the first call");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the first call");
    stream.blocking_write_and_flush(b"hello\n").expect("the caller is there");
    drop(stream);
    OutgoingBody::finish(body, None).expect("a complete body");
}

handler!(handle);
