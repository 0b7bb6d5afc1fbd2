//! Gets the URL in `?url` and passes its status and body on. When the request cannot be made, answers 599 and the error
//! code in words.

use guests_wasi02::{answer, begin, copy, handler, query};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme,
};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let url = query(&request, "url").expect("a url in the query");
    match fetch(&url) {
        Ok(response) => pass_on(&response, out),
        Err(code) => answer(out, 599, &format!("{code:?}\n")),
    }
}

fn fetch(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let (scheme, rest) = url.split_once("://").expect("an absolute url");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).expect("a valid scheme");
    request.set_authority(Some(authority)).expect("a valid authority");
    request.set_path_with_query(Some(path)).expect("a valid path");
    let body = request.body().expect("the first call");
    let response = outgoing_handler::handle(request, None)?;
    OutgoingBody::finish(body, None)?;
    response.subscribe().block();
    response.get().expect("ready").expect("taken once")
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let incoming = response.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let body = begin(out, response.status(), &[]);
    copy(&input, &body);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

handler!(handle);
