//! Sends a request to the URL in `?url` with the method and the body that it was called with, and passes the answer on: its status,
//! its body, and who answered it in the header `origin`. `?connect`, `?first` and `?between` are time-outs in milliseconds.
//! `?traceparent` is a header to send along. When the request cannot be made, answers 599 and the error code in words.

use guests_wasi02::{answer, begin, handler, query};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, RequestOptions,
    ResponseOutparam, Scheme, http_error_code,
};
use wasip2::io::streams::{InputStream, StreamError};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    match fetch(&request) {
        Ok(response) => pass_on(&response, out),
        Err(code) => answer(out, 599, &format!("{code:?}\n")),
    }
}

fn fetch(request: &IncomingRequest) -> Result<IncomingResponse, ErrorCode> {
    let url = query(request, "url").expect("a url in the query");
    let (scheme, rest) = url.split_once("://").expect("an absolute url");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let headers = Fields::new();
    for name in ["traceparent", "x-samovar-depth", "x-samovar-request-id"] {
        if let Some(value) = query(request, name) {
            headers.set(name, &[value.into_bytes()]).expect("a valid header");
        }
    }
    let sent = OutgoingRequest::new(headers);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    sent.set_scheme(Some(&scheme)).expect("a valid scheme");
    sent.set_authority(Some(authority)).expect("a valid authority");
    sent.set_path_with_query(Some(&path.replace("%3F", "?").replace("%26", "&"))).expect("a valid path");
    sent.set_method(&request.method()).expect("a valid method");
    let body = sent.body().expect("the first call");
    let response = outgoing_handler::handle(sent, Some(options(request)))?;
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let output = body.write().expect("the first call");
    // Whoever takes no more of the body may have answered all the same.
    while let Ok(piece) = input.blocking_read(4096) {
        if output.blocking_write_and_flush(&piece).is_err() {
            break;
        }
    }
    drop(output);
    OutgoingBody::finish(body, None)?;
    response.subscribe().block();
    response.get().expect("ready").expect("taken once")
}

fn options(request: &IncomingRequest) -> RequestOptions {
    let options = RequestOptions::new();
    let nanos = |key: &str| Some(query(request, key)?.parse::<u64>().expect("a number") * 1_000_000);
    options.set_connect_timeout(nanos("connect")).expect("supported");
    options.set_first_byte_timeout(nanos("first")).expect("supported");
    options.set_between_bytes_timeout(nanos("between")).expect("supported");
    options
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let origin = response.headers().get("x-samovar-origin").into_iter().next().unwrap_or_default();
    let origin = String::from_utf8(origin).expect("text");
    let incoming = response.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let body = begin(out, response.status(), &[("origin", &origin)]);
    copy(&input, &body);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

/// Copies what comes, and tells in words how it broke off.
fn copy(input: &InputStream, body: &OutgoingBody) {
    let output = body.write().expect("the first call");
    loop {
        let piece = match input.blocking_read(4096) {
            Ok(piece) => piece,
            Err(StreamError::Closed) => return,
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                output.blocking_write_and_flush(format!(" broke off: {code:?}").as_bytes()).expect("a caller");
                return;
            }
        };
        output.blocking_write_and_flush(&piece).expect("a caller");
    }
}

handler!(handle);
