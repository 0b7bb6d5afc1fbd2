//! Answers the same bytes as the hello example does at `/hello`, and reads nothing of the request.

use std::io::Write as _;

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Plain;

wasip2::http::proxy::export!(Plain);

impl wasip2::exports::http::incoming_handler::Guest for Plain {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let headers = [("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        let response = OutgoingResponse::new(Fields::from_list(&headers).expect("valid headers"));
        let body = response.body().expect("the first call");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("the first call");
        let written = stream.write_all(b"hello from /hello\n").is_ok() && stream.blocking_flush().is_ok();
        drop(stream);
        if written {
            OutgoingBody::finish(body, None).expect("no content-length was promised");
        }
    }
}
