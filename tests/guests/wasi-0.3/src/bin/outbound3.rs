//! Gets the URL in `?url` and passes its status, `location` and body on; with `?follow` it gets that `location` first. When a
//! request cannot be made, answers 599 and the error code in words.

use guests_wasi03::{answer, handler, query, response};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_future;

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let url = query(&request, "url").expect("a url in the query");
    let follows = query(&request, "follow").is_some();
    let mut got = client::send(get(&url)).await;
    if let Some(url) = got.as_ref().ok().and_then(location).filter(|_| follows) {
        got = client::send(get(&url)).await;
    }
    match got {
        Ok(answer) => {
            let (status, location) = (answer.get_status_code(), location(&answer));
            let headers: Vec<_> = location.iter().map(|location| ("location", location.as_str())).collect();
            let (_, done) = wit_future::new(|| Ok(()));
            let (body, trailers) = Response::consume_body(answer, done);
            Ok(response(status, &headers, body, trailers))
        }
        Err(code) => answer(599, format!("{code:?}\n")),
    }
}

fn location(answer: &Response) -> Option<String> {
    let location = answer.get_headers().get("location").into_iter().next()?;
    Some(String::from_utf8(location).expect("text"))
}

fn get(url: &str) -> Request {
    let (scheme, rest) = url.split_once("://").expect("an absolute url");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).expect("a valid scheme");
    request.set_authority(Some(authority)).expect("a valid authority");
    request.set_path_with_query(Some(path)).expect("a valid path");
    request
}

handler!(handle);
