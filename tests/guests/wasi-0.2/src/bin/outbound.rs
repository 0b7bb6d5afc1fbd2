//! Gets the URL in `?url` and passes its status, `location` and body on; with `?follow` it gets that `location` first. When a
//! request cannot be made, answers 599 and the error code in words.

use guests_wasi02::{answer, begin, copy, get, handler, query};
use wasip2::http::types::{IncomingRequest, IncomingResponse, OutgoingBody, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let url = query(&request, "url").expect("a url in the query");
    let follows = query(&request, "follow").is_some();
    let followed = |response| match location(&response) {
        Some(url) if follows => get(&url),
        _ => Ok(response),
    };
    match get(&url).and_then(followed) {
        Ok(response) => pass_on(&response, out),
        Err(code) => answer(out, 599, &format!("{code:?}\n")),
    }
}

fn location(response: &IncomingResponse) -> Option<String> {
    let location = response.headers().get("location").into_iter().next()?;
    Some(String::from_utf8(location).expect("text"))
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let incoming = response.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let location = location(response);
    let headers: Vec<_> = location.iter().map(|location| ("location", location.as_str())).collect();
    let body = begin(out, response.status(), &headers);
    copy(&input, &body);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

handler!(handle);
