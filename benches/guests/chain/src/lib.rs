//! Calls the function that its variable `NEXT` names and passes the answer's body on; where there is none, answers as `plain`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};

struct Chain;

wasip2::http::proxy::export!(Chain);

impl wasip2::exports::http::incoming_handler::Guest for Chain {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let answer = match std::env::var("NEXT") {
            Ok(next) => call(&next),
            Err(_) => b"hello from /hello\n".to_vec(),
        };
        let headers = [("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        let response = OutgoingResponse::new(Fields::from_list(&headers).expect("valid headers"));
        let body = response.body().expect("the first call");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the first call");
        let written = stream.blocking_write_and_flush(&answer).is_ok();
        drop(stream);
        if written {
            OutgoingBody::finish(body, None).expect("no content-length was promised");
        }
    }
}

fn call(function: &str) -> Vec<u8> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
    request.set_authority(Some(&format!("{function}.samovar.internal"))).expect("a valid authority");
    request.set_path_with_query(Some("/")).expect("a valid path");
    let coming = outgoing_handler::handle(request, None).expect("allowed");
    let response = match coming.get() {
        Some(response) => response,
        None => {
            coming.subscribe().block();
            coming.get().expect("ready")
        }
    };
    let response = response.expect("taken once").expect("an answer");
    assert_eq!(response.status(), 200);
    let body = response.consume().expect("the first call");
    let stream = body.stream().expect("the first call");
    let mut answer = Vec::new();
    while let Ok(piece) = stream.blocking_read(64 << 10) {
        answer.extend(piece);
    }
    answer
}
