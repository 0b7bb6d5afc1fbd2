//! Gets the URL in `?url` and passes its status and body on. When the request cannot be made, answers 599 and the error
//! code in words.

use guests_wasi03::{answer, handler, query, response};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_future;

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let url = query(&request, "url").expect("a url in the query");
    match client::send(get(&url)).await {
        Ok(answer) => {
            let status = answer.get_status_code();
            let (_, done) = wit_future::new(|| Ok(()));
            let (body, trailers) = Response::consume_body(answer, done);
            Ok(response(status, &[], body, trailers))
        }
        Err(code) => answer(599, format!("{code:?}\n")),
    }
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
