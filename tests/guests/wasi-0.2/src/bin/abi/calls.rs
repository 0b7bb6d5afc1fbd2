//! Requests to another function, `other`, and their answers: `wasi:http/outgoing-handler`, `future-incoming-response`,
//! `incoming-response`.

use super::streams::outcome;
use super::tell;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};

fn to(authority: &str, path: &str) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
    request.set_authority(Some(authority)).expect("a valid authority");
    request.set_path_with_query(Some(path)).expect("a valid path");
    request
}

fn to_other(path: &str) -> OutgoingRequest {
    to("other.samovar.internal", path)
}

fn answer(future: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    future.subscribe().block();
    future.get().expect("ready").expect("taken once")
}

/// An answer's body in its pieces, how it ended, and its trailers.
fn read(told: &mut String, response: &IncomingResponse) {
    let body = response.consume().expect("the first call");
    tell!(told; response.consume().is_err());
    let stream = body.stream().expect("the first call");
    let mut pieces = Vec::new();
    while pieces.last().is_none_or(Result::is_ok) {
        pieces.push(outcome(stream.blocking_read(5000)).map(|piece| match std::str::from_utf8(&piece) {
            Ok(text) if piece.len() < 1000 => text.to_owned(),
            _ => format!("{} bytes", piece.len()),
        }));
    }
    tell!(told; pieces);
    drop(stream);
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    let got = future.get().expect("ready");
    tell!(told; got.map(|trailers| trailers.map(|trailers| trailers.map(|trailers| trailers.entries()))));
}

pub fn call(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let future = match handle(to_other("/plain?x"), None) {
        Ok(future) => future,
        Err(code) => return format!("{code:?}"),
    };
    let response = answer(&future).expect("an answer");
    tell!(told;
        future.get().is_some_and(|again| again.is_err()),
        future.get().is_some_and(|again| again.is_err()),
        future.subscribe().ready(),
        response.status(),
        response.headers().entries(),
        response.headers().get("x-several"),
        response.headers().append("x-new", b"n"),
        response.headers().delete("x-several"),
    );
    drop(future);
    read(&mut told, &response);
    told
}

/// An answer that takes its time.
pub fn waited_for(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let future = handle(to_other("/slow"), None).expect("a valid request");
    let pollable = future.subscribe();
    tell!(told; future.get().is_none(), pollable.ready());
    let never = wasip2::clocks::monotonic_clock::subscribe_duration(u64::MAX);
    tell!(told; wasip2::io::poll::poll(&[&never, &pollable]));
    drop(pollable);
    let response = future.get().expect("ready").expect("taken once").expect("an answer");
    tell!(told; response.status());
    read(&mut told, &response);
    told
}

pub fn in_pieces(_: &IncomingRequest) -> String {
    let mut told = String::new();
    for path in ["/pieces", "/large", "/trailers", "/many-headers", "/empty"] {
        let response = answer(&handle(to_other(path), None).expect("a valid request")).expect("an answer");
        tell!(told; path, response.status(), response.headers().entries());
        read(&mut told, &response);
    }
    told
}

/// A request with every part that one can have, which is answered with what came of it.
pub fn with_everything(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let headers: Vec<(String, Vec<u8>)> = (0..50).map(|i| (format!("x-{}", i % 40), vec![b'v', 0x80 + i])).collect();
    let request = OutgoingRequest::new(Fields::from_list(&headers).expect("valid headers"));
    request.set_method(&Method::Other("BREW".to_owned())).expect("a valid method");
    request.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
    request.set_authority(Some("other.samovar.internal:80")).expect("a valid authority");
    request.set_path_with_query(Some("/echo?a=b&c")).expect("a valid path");
    let options = RequestOptions::new();
    options.set_connect_timeout(Some(5_000_000_000)).expect("taken");
    options.set_first_byte_timeout(Some(5_000_000_000)).expect("taken");
    options.set_between_bytes_timeout(Some(5_000_000_000)).expect("taken");
    let body = request.body().expect("the first call");
    let future = handle(request, Some(options)).expect("a valid request");
    let stream = body.write().expect("the first call");
    for piece in [&b"first, "[..], b"", b"second"] {
        tell!(told; outcome(stream.blocking_write_and_flush(piece)));
    }
    drop(stream);
    let trailers = Fields::from_list(&[("x-sum".to_owned(), b"abc".to_vec())]).expect("valid trailers");
    tell!(told; OutgoingBody::finish(body, Some(trailers)));
    let response = answer(&future).expect("an answer");
    tell!(told; response.status());
    read(&mut told, &response);
    told
}

fn failed(request: OutgoingRequest, options: Option<RequestOptions>) -> Result<u16, (bool, ErrorCode)> {
    let future = handle(request, options).map_err(|code| (false, code))?;
    answer(&future).map(|response| response.status()).map_err(|code| (true, code))
}

/// At once, or instead of an answer.
pub fn refused(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let hurried = || {
        let options = RequestOptions::new();
        options.set_first_byte_timeout(Some(1_000_000)).expect("taken");
        Some(options)
    };
    let promised =
        OutgoingRequest::new(Fields::from_list(&[("content-length".to_owned(), b"9".to_vec())]).expect("valid"));
    tell!(told;
        failed(OutgoingRequest::new(Fields::new()), None),
        failed(promised, None),
        failed(to("no-function.samovar.internal", "/"), None),
        failed(to("nobody.samovar.internal", "/"), None),
        failed(to("elsewhere.example", "/"), None),
        failed(to("127.0.0.1:1", "/"), None),
        failed(to_other("/never"), hurried()),
        failed(to_other("/plain"), Some(RequestOptions::new())),
    );
    let other_scheme = to_other("/");
    other_scheme.set_scheme(Some(&Scheme::Other("ftp".to_owned()))).expect("a valid scheme");
    tell!(told; failed(other_scheme, None));
    told
}

pub fn that_breaks_off(_: &IncomingRequest) -> String {
    let mut told = String::new();
    for path in ["/breaks", "/breaks-late", "/breaks-at-once"] {
        let response = answer(&handle(to_other(path), None).expect("a valid request")).expect("an answer");
        tell!(told; path);
        read(&mut told, &response);
    }
    let response = answer(&handle(to_other("/breaks"), None).expect("a valid request")).expect("an answer");
    let future = IncomingBody::finish(response.consume().expect("the first call"));
    future.subscribe().block();
    tell!(told; future.get().map(|got| got.map(|trailers| trailers.map(|trailers| trailers.is_some()))));
    told
}

/// Before the answer, before its body, and half-way through that.
pub fn given_up(_: &IncomingRequest) -> String {
    let mut told = String::new();
    drop(handle(to_other("/never"), None).expect("a valid request"));
    let future = handle(to_other("/never"), None).expect("a valid request");
    tell!(told; future.subscribe().ready());
    drop(future);
    drop(answer(&handle(to_other("/plain"), None).expect("a valid request")));
    let response = answer(&handle(to_other("/pieces"), None).expect("a valid request")).expect("an answer");
    let body = response.consume().expect("the first call");
    let stream = body.stream().expect("the first call");
    tell!(told; outcome(stream.blocking_read(2)));
    drop(stream);
    drop(body);
    drop(response);
    told
}
