//! The request and its body: `incoming-request`, `incoming-body`, `future-trailers` and `input-stream`.

use super::streams::outcome;
use super::tell;
use wasip2::http::types::{FutureTrailers, IncomingBody, IncomingRequest};
use wasip2::io::streams::InputStream;

/// Also to standard output: a `HEAD` request has no other answer.
pub fn facts(request: &IncomingRequest) -> String {
    let mut told = String::new();
    tell!(told;
        request.method(),
        request.path_with_query(),
        request.scheme(),
        request.authority(),
        request.headers().entries(),
    );
    print!("{told}");
    told
}

pub fn consumed(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let body = request.consume();
    tell!(told; body.is_ok(), request.consume().is_err(), request.consume().is_err());
    let body = body.expect("the first call");
    let stream = body.stream();
    tell!(told; stream.is_ok(), body.stream().is_err());
    drop(stream);
    tell!(told; body.stream().is_err());
    told
}

/// A body, and its stream.
fn body(request: &IncomingRequest) -> (IncomingBody, InputStream) {
    let body = request.consume().expect("the first call");
    let stream = body.stream().expect("the first call");
    (body, stream)
}

/// Everything up to the end, in the pieces in which it comes.
fn rest(stream: &InputStream, len: u64) -> Vec<Result<usize, String>> {
    let mut pieces = Vec::new();
    while pieces.last().is_none_or(Result::is_ok) && pieces.len() < 200 {
        pieces.push(outcome(stream.blocking_read(len)).map(|bytes| bytes.len()));
    }
    pieces
}

/// Of a body that is there.
pub fn read(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let (_body, stream) = body(request);
    tell!(told;
        outcome(stream.read(0)),
        outcome(stream.read(1)),
        outcome(stream.blocking_read(2)),
        outcome(stream.blocking_read(0)),
        outcome(stream.read(u64::MAX)),
        outcome(stream.blocking_read(u64::MAX)),
        rest(&stream, 700),
        outcome(stream.read(1)),
        outcome(stream.blocking_read(1)),
        outcome(stream.skip(1)),
        outcome(stream.blocking_skip(1)),
        stream.subscribe().ready(),
    );
    told
}

/// Of a body that comes in its own time.
pub fn waited_for(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let (_body, stream) = body(request);
    let pollable = stream.subscribe();
    pollable.block();
    tell!(told; pollable.ready(), outcome(stream.read(100)));
    tell!(told; wasip2::io::poll::poll(&[&pollable]), outcome(stream.read(2)), outcome(stream.blocking_skip(2)));
    drop(pollable);
    tell!(told; rest(&stream, u64::MAX));
    told
}

pub fn skipped(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let (_body, stream) = body(request);
    tell!(told;
        outcome(stream.skip(0)),
        outcome(stream.skip(3)),
        outcome(stream.read(1)),
        outcome(stream.blocking_skip(2)),
        outcome(stream.read(1)),
        outcome(stream.skip(u64::MAX)),
        outcome(stream.blocking_skip(u64::MAX)),
    );
    told
}

/// Half read, and not at all.
pub fn dropped(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let (body, stream) = body(request);
    tell!(told; outcome(stream.blocking_read(3)));
    drop(stream);
    tell!(told; body.stream().is_err());
    drop(body);
    tell!(told; request.consume().is_err());
    told
}

fn told_trailers(told: &mut String, future: FutureTrailers) {
    let entries = |future: &FutureTrailers| {
        let got = future.get()?;
        Some(got.map(|trailers| trailers.map(|trailers| trailers.map(|trailers| trailers.entries()))))
    };
    tell!(told; entries(&future).is_some());
    let pollable = future.subscribe();
    pollable.block();
    tell!(told; pollable.ready());
    drop(pollable);
    let trailers = future.get();
    let Some(Ok(Ok(Some(trailers)))) = trailers else {
        tell!(told; trailers.map(|got| got.map(|trailers| trailers.map(drop))), entries(&future));
        return;
    };
    tell!(told;
        trailers.entries(),
        trailers.get("x-sum"),
        trailers.append("x-new", b"n"),
        entries(&future),
        entries(&future),
        future.subscribe().ready(),
    );
    drop(future);
    tell!(told; trailers.has("x-sum"));
}

pub fn trailers_after_all(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let (body, stream) = body(request);
    tell!(told; rest(&stream, u64::MAX));
    drop(stream);
    told_trailers(&mut told, IncomingBody::finish(body));
    told
}

pub fn trailers_after_some(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let (body, stream) = body(request);
    tell!(told; outcome(stream.blocking_read(2)));
    drop(stream);
    told_trailers(&mut told, IncomingBody::finish(body));
    told
}

pub fn trailers_after_nothing(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let body = request.consume().expect("the first call");
    told_trailers(&mut told, IncomingBody::finish(body));
    told
}
