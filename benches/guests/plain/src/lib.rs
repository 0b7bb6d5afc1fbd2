//! Answers the same bytes as the hello example does at `/hello`, and reads nothing of the request.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Plain;

wasip2::http::proxy::export!(Plain);

impl wasip2::exports::http::incoming_handler::Guest for Plain {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let headers = [("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        let response = OutgoingResponse::new(Fields::from_list(&headers).expect("valid headers"));
        let body = response.body().expect("the first call");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the first call");
        let written = stream.blocking_write_and_flush(b"hello from /hello\n").is_ok();
        drop(stream);
        if written {
            OutgoingBody::finish(body, None).expect("no content-length was promised");
        }
    }
}
