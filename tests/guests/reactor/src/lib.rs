//! Answers `hello from a reactor`.

use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Guest;
wasi::http::proxy::export!(Guest);

impl wasi::exports::http::incoming_handler::Guest for Guest {
    fn handle(_request: IncomingRequest, response_out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the first call");
        ResponseOutparam::set(response_out, Ok(response));
        let stream = body.write().expect("the first call");
        stream.blocking_write_and_flush(b"hello from a reactor\n").expect("the caller is there");
        drop(stream);
        OutgoingBody::finish(body, None).expect("no content-length was promised");
    }
}
