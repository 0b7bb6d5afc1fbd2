//! `wasi:io`: streams of output, and pollables.

use super::tell;
use guests_wasi02::begin;
use wasip2::clocks::monotonic_clock::{now, subscribe_duration, subscribe_instant};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam, http_error_code};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{OutputStream, StreamError};

/// With an error in words: its first line, since more of them would tell where the host is in its own code.
pub fn outcome<T>(outcome: Result<T, StreamError>) -> Result<T, String> {
    outcome.map_err(|error| match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => {
            let words = error.to_debug_string();
            format!("{} {:?}", words.lines().next().unwrap_or_default(), http_error_code(&error))
        }
    })
}

/// A body of an answer that is never sent, so that nobody reads it.
fn unsent() -> (OutgoingResponse, OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first call");
    let stream = body.write().expect("the first call");
    (response, body, stream)
}

pub fn written(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let (_response, _body, stream) = unsent();
    tell!(told;
        stream.subscribe().ready(),
        outcome(stream.check_write()),
        outcome(stream.write(b"")),
        outcome(stream.flush()),
        outcome(stream.blocking_flush()),
        outcome(stream.write(b"abc")),
        outcome(stream.check_write()),
        outcome(stream.write_zeroes(0)),
        outcome(stream.write_zeroes(10)),
        outcome(stream.blocking_write_and_flush(b"def")),
    );
    stream.subscribe().block();
    let mut written = 0;
    while let Ok(room @ 1..) = stream.check_write() {
        stream.write(&vec![b'x'; usize::try_from(room).expect("a small number")]).expect("there is room");
        written += room;
    }
    // Full.
    tell!(told;
        written,
        outcome(stream.check_write()),
        outcome(stream.flush()),
        stream.subscribe().ready(),
        ready(&[&stream.subscribe(), &subscribe_duration(0)]),
    );
    told
}

pub fn unread(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let (response, body, stream) = unsent();
    drop(response);
    tell!(told;
        outcome(stream.check_write()),
        outcome(stream.write(b"abc")),
        outcome(stream.write_zeroes(3)),
        outcome(stream.flush()),
        outcome(stream.blocking_flush()),
        outcome(stream.blocking_write_and_flush(b"abc")),
        outcome(stream.blocking_write_zeroes_and_flush(3)),
        outcome(stream.splice(&input, 3)),
        outcome(stream.blocking_splice(&input, 3)),
        stream.subscribe().ready(),
    );
    drop(stream);
    tell!(told; OutgoingBody::finish(body, None));
    told
}

pub fn spliced(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let (_response, _body, stream) = unsent();
    tell!(told;
        outcome(stream.splice(&input, 0)),
        outcome(stream.splice(&input, 2)),
        outcome(stream.blocking_splice(&input, 3)),
        outcome(stream.blocking_splice(&input, u64::MAX)),
        outcome(input.read(1)),
        // As much as is taken without a reader.
        outcome(stream.splice(&input, 1)),
        outcome(stream.splice(&input, 1)),
    );
    told
}

/// Answers with a body that every function has written a piece of, and with what they gave at its end.
pub fn in_pieces(request: IncomingRequest, out: ResponseOutparam) {
    let mut told = String::new();
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let body = begin(out, 200, &[]);
    let stream = body.write().expect("the first call");
    tell!(told;
        outcome(stream.check_write()),
        outcome(stream.write(b"one ")),
        outcome(stream.flush()),
        outcome(stream.blocking_flush()),
        outcome(stream.blocking_write_and_flush(b"two ")),
        outcome(stream.blocking_write_and_flush(&[b'y'; 4096])),
        outcome(stream.blocking_flush()),
        outcome(stream.write_zeroes(3)),
        outcome(stream.blocking_flush()),
        outcome(stream.blocking_write_zeroes_and_flush(4)),
        outcome(stream.blocking_write_zeroes_and_flush(4096)),
        outcome(stream.blocking_splice(&input, 5)),
        outcome(stream.blocking_flush()),
        outcome(stream.splice(&input, 5)),
    );
    // More than the caller takes at once.
    for i in 0..40 {
        stream.subscribe().block();
        let room = usize::try_from(stream.check_write().expect("the caller is there")).expect("a small number");
        stream.write(&vec![b'a' + i % 26; room.min(10_000)]).expect("there is room");
    }
    stream.blocking_write_and_flush(told.as_bytes()).expect("the caller is there");
    drop(stream);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

/// Which are ready. The host tells them in the order of numbers of its own.
fn ready(pollables: &[&Pollable]) -> Vec<u32> {
    let mut ready = poll(pollables);
    ready.sort_unstable();
    ready
}

pub fn polled(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let (past, zero, never) = (subscribe_instant(0), subscribe_duration(0), subscribe_duration(u64::MAX));
    let (soon, there) = (subscribe_duration(1_000_000), input.subscribe());
    tell!(told;
        past.ready(),
        zero.ready(),
        never.ready(),
        there.ready(),
        ready(&[&past]),
        ready(&[&never, &zero]),
        ready(&[&past, &never, &past, &there, &zero]),
        ready(&[&never, &soon, &never]),
        soon.ready(),
    );
    soon.block();
    past.block();
    let later = now() + 2_000_000;
    subscribe_instant(later).block();
    tell!(told; now() >= later, ready(&[&never, &subscribe_instant(later + 1_000_000)]));
    told
}

pub fn polled_many(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let all: Vec<Pollable> = (0..200).map(|i| subscribe_duration(if i % 3 == 0 { 0 } else { u64::MAX })).collect();
    let all: Vec<&Pollable> = all.iter().collect();
    tell!(told; ready(&all), ready(&vec![all[0]; 2000]).len());
    told
}
