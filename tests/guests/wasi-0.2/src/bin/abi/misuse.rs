//! Handles that are right, used as they must not be: which ends the invocation.

use super::ignore;
use super::streams::outcome;
use std::mem::{ManuallyDrop, forget};
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions,
    ResponseOutparam,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream};

/// Used after they were given away.
const GIVEN_AWAY: &[fn(&IncomingRequest, ResponseOutparam)] = &[
    |_, _| {
        let fields = fields_twice();
        drop(OutgoingResponse::new(fields.0));
        drop(fields.1.entries());
    },
    |_, _| {
        let fields = fields_twice();
        drop((OutgoingRequest::new(fields.0), OutgoingRequest::new(ManuallyDrop::into_inner(fields.1))));
    },
    |_, _| {
        let fields = fields_twice();
        ignore(finished(fields.0));
        ignore(finished(ManuallyDrop::into_inner(fields.1)));
    },
    |_, out| {
        let response = OutgoingResponse::new(Fields::new());
        // SAFETY: that it is used again is the point, here and below.
        let again = unsafe { ManuallyDrop::new(OutgoingResponse::from_handle(response.handle())) };
        ResponseOutparam::set(out, Ok(response));
        println!("{}", again.status_code());
    },
    |_, out| {
        // SAFETY: as above.
        let again = unsafe { ResponseOutparam::from_handle(out.handle()) };
        ResponseOutparam::set(out, Ok(OutgoingResponse::new(Fields::new())));
        ResponseOutparam::set(again, Ok(OutgoingResponse::new(Fields::new())));
    },
    |_, out| {
        // SAFETY: as above.
        let again = unsafe { ResponseOutparam::from_handle(out.handle()) };
        drop(out);
        ResponseOutparam::set(again, Err(ErrorCode::LoopDetected));
    },
    |_, _| {
        let body = OutgoingResponse::new(Fields::new()).body().expect("the first call");
        // SAFETY: as above.
        let again = unsafe { OutgoingBody::from_handle(body.handle()) };
        drop(OutgoingBody::finish(body, None));
        drop(OutgoingBody::finish(again, None));
    },
    |request, _| {
        let body = request.consume().expect("the first call");
        // SAFETY: as above.
        let again = unsafe { IncomingBody::from_handle(body.handle()) };
        drop((IncomingBody::finish(body), IncomingBody::finish(again)));
    },
    |_, _| {
        let request = OutgoingRequest::new(Fields::new());
        // SAFETY: as above.
        let again = unsafe { OutgoingRequest::from_handle(request.handle()) };
        drop((outgoing_handler::handle(request, None), outgoing_handler::handle(again, None)));
    },
    |_, _| {
        let options = RequestOptions::new();
        // SAFETY: as above.
        let again = unsafe { RequestOptions::from_handle(options.handle()) };
        let request = || OutgoingRequest::new(Fields::new());
        drop(outgoing_handler::handle(request(), Some(options)));
        drop(outgoing_handler::handle(request(), Some(again)));
    },
];

/// Gone while something of theirs is there; and more, in size or in number, than there may be.
const MISUSED: &[fn(&IncomingRequest, ResponseOutparam)] = &[
    |request, _| {
        let body = request.consume().expect("the first call");
        let _stream = body.stream().expect("the first call");
        drop(body);
    },
    |request, _| {
        let body = request.consume().expect("the first call");
        let _stream = body.stream().expect("the first call");
        drop(IncomingBody::finish(body));
    },
    |request, _| {
        let (_body, stream) = input(request);
        let _pollable = stream.subscribe();
        drop(stream);
    },
    |request, _| {
        let future = IncomingBody::finish(request.consume().expect("the first call"));
        let _pollable = future.subscribe();
        drop(future);
    },
    |_, _| {
        let (_response, body, _stream) = output();
        drop(body);
    },
    |_, _| {
        let (_response, body, _stream) = output();
        drop(OutgoingBody::finish(body, None));
    },
    |_, _| {
        let (_response, _body, stream) = output();
        let _pollable = stream.subscribe();
        drop(stream);
    },
    |_, _| {
        let request = OutgoingRequest::new(Fields::new());
        let _headers = request.headers();
        request.set_authority(Some("other.samovar.internal")).expect("a valid authority");
        let future = outgoing_handler::handle(request, None).expect("a valid request");
        let _pollable = future.subscribe();
        drop(future);
    },
    // More than there is room for.
    |_, _| {
        let (_response, _body, stream) = output();
        let room = stream.check_write().expect("open");
        let bytes = vec![0; usize::try_from(room).expect("a small number") + 1];
        drop(outcome(stream.write(&bytes)));
    },
    |_, _| {
        let (_response, _body, stream) = output();
        while let Ok(1..) = stream.check_write() {
            stream.write(b"x").expect("there is room");
        }
        drop(outcome(stream.write(b"x")));
    },
    |_, _| ignore(outcome(output().2.write_zeroes(u64::MAX))),
    |_, _| ignore(outcome(output().2.blocking_write_and_flush(&[0; 4097]))),
    |_, _| ignore(outcome(output().2.blocking_write_zeroes_and_flush(4097))),
    |_, _| ignore(outcome(wasip2::cli::stdout::get_stdout().write(&[b'x'; 80 << 10]))),
    |_, _| ignore(poll(&[])),
    |_, _| ignore(wasip2::random::random::get_random_bytes((4 << 20) + 1)),
    |_, _| ignore(wasip2::random::insecure::get_insecure_random_bytes(u64::MAX)),
    // More of them than one instance may have.
    |_, _| (0..1000).for_each(|_| forget(Fields::new())),
    |_, _| (0..1000).for_each(|_| forget(subscribe_duration(0))),
    |request, _| (0..1000).for_each(|_| forget(request.headers())),
    |_, _| {
        let fields = Fields::new();
        (0..1000).for_each(|_| forget(fields.clone()));
    },
    |_, _| {
        let fields = Fields::new();
        (0..100).for_each(|_| fields.append("x", &[b'x'; 1000]).expect("a valid value"));
    },
    |_, _| ignore(Fields::new().set("x", &vec![vec![b'x'; 1000]; 40])),
    |_, _| ignore(Fields::from_list(&[("x".to_owned(), vec![b'x'; 33 << 10])])),
    // Memory that there is not.
    |_, _| (0..1000).for_each(|_| forget(wasip2::random::random::get_random_bytes(4 << 20))),
];

pub const GIVEN_AWAY_COUNT: usize = GIVEN_AWAY.len();
pub const MISUSED_COUNT: usize = MISUSED.len();

pub fn given_away(n: usize, request: &IncomingRequest, out: ResponseOutparam) {
    GIVEN_AWAY[n](request, out);
}

pub fn misused(n: usize, request: &IncomingRequest, out: ResponseOutparam) {
    MISUSED[n](request, out);
}

/// The same handle, twice.
fn fields_twice() -> (Fields, ManuallyDrop<Fields>) {
    let fields = Fields::new();
    // SAFETY: that it is used again is the point.
    let again = unsafe { Fields::from_handle(fields.handle()) };
    (fields, ManuallyDrop::new(again))
}

fn finished(trailers: Fields) -> bool {
    let response = OutgoingResponse::new(Fields::new());
    OutgoingBody::finish(response.body().expect("the first call"), Some(trailers)).is_ok()
}

fn input(request: &IncomingRequest) -> (IncomingBody, InputStream) {
    let body = request.consume().expect("the first call");
    let stream = body.stream().expect("the first call");
    (body, stream)
}

fn output() -> (OutgoingResponse, OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first call");
    let stream = body.write().expect("the first call");
    (response, body, stream)
}
