//! What the guests have in common: reading the query, answering, writing a body, getting a URL.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

/// Exports a function `fn(IncomingRequest, ResponseOutparam)` as the component's handler.
#[macro_export]
macro_rules! handler {
    ($handle:path) => {
        struct Guest;
        wasip2::http::proxy::export!(Guest);

        impl wasip2::exports::http::incoming_handler::Guest for Guest {
            fn handle(request: wasip2::http::types::IncomingRequest, response: wasip2::http::types::ResponseOutparam) {
                $handle(request, response)
            }
        }

        fn main() {}
    };
}

/// The value of `key` in the request's query, percent-encoding left as it is.
pub fn query(request: &IncomingRequest, key: &str) -> Option<String> {
    let path_and_query = request.path_with_query()?;
    let (_, query) = path_and_query.split_once('?')?;
    query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name == key).then(|| value.to_owned()),
        None => (pair == key).then(String::new),
    })
}

/// The number that `key` has in the query.
pub fn number(request: &IncomingRequest, key: &str, default: u64) -> u64 {
    query(request, key).map_or(default, |value| value.parse().expect("a number"))
}

/// Sets the response's head and gives its body.
pub fn begin(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let entries: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&entries).expect("valid headers"));
    response.set_status_code(status).expect("a valid status");
    let body = response.body().expect("the first call");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Writes all bytes into the body, once. False when the caller is gone.
pub fn write(body: &OutgoingBody, bytes: &[u8]) -> bool {
    use std::io::Write as _;
    let mut stream = body.write().expect("the first call");
    stream.write_all(bytes).is_ok() && stream.blocking_flush().is_ok()
}

/// Copies all of `input` into the body, each chunk as it comes.
pub fn copy(input: &InputStream, body: &OutgoingBody) {
    use std::io::Write as _;
    let mut output = body.write().expect("the first call");
    loop {
        match input.blocking_read(64 << 10) {
            Ok(chunk) => output.write_all(&chunk).expect("the caller is there"),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => panic!("reading: {}", error.to_debug_string()),
        }
        output.blocking_flush().expect("the caller is there");
    }
}

/// Answers with a text.
pub fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let body = begin(out, status, &[("content-type", "text/plain; charset=utf-8")]);
    if write(&body, text.as_bytes()) {
        OutgoingBody::finish(body, None).expect("no content-length was promised");
    }
}

/// Blocks the instance for this long.
pub fn sleep(millis: u64) {
    wasip2::clocks::monotonic_clock::subscribe_duration(millis * 1_000_000).block();
}

/// Gets an absolute URL, and waits for the answer's head.
pub fn get(url: &str) -> Result<IncomingResponse, ErrorCode> {
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

/// A text as JSON has it.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
