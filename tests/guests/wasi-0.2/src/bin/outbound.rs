//! Gets the URL in `?url` and passes its status and body on. When the request cannot be made, answers 599 and the error
//! code in words.

use guests_wasi02::{answer, begin, copy, get, handler, query};
use wasip2::http::types::{IncomingRequest, IncomingResponse, OutgoingBody, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let url = query(&request, "url").expect("a url in the query");
    match get(&url) {
        Ok(response) => pass_on(&response, out),
        Err(code) => answer(out, 599, &format!("{code:?}\n")),
    }
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let incoming = response.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let body = begin(out, response.status(), &[]);
    copy(&input, &body);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

handler!(handle);
