//! Every function that takes a handle, given one that it must not take: which ends the invocation.

use super::ignore;
use guests_wasi02::number;
use std::mem::ManuallyDrop;
use wasip2::cli::stdin::get_stdin;
use wasip2::cli::stdout::get_stdout;
use wasip2::cli::terminal_input::TerminalInput;
use wasip2::cli::terminal_output::TerminalOutput;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, FutureTrailers, IncomingBody, IncomingRequest, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, ResponseOutparam, http_error_code,
};
use wasip2::io::error::Error;
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream};

/// One that nothing has.
const UNKNOWN: u32 = 4321;

/// What a handle is to be of.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Fields,
    Request,
    OutgoingRequest,
    Options,
    Response,
    OutgoingBody,
    IncomingBody,
    Pollable,
    Input,
    Output,
    /// What cannot be had just so.
    Other,
}

type Function = (Of, fn(u32));

/// A function that is given a handle of this type, which it does not have to give back.
macro_rules! on {
    ($of:ident $type:ty: |$it:ident| $call:expr) => {
        (Of::$of, |handle| {
            // SAFETY: that the handle is not one is the point.
            let $it = ManuallyDrop::new(unsafe { <$type>::from_handle(handle) });
            ignore($call);
        })
    };
}

/// One that takes the handle for good, if only to drop it.
macro_rules! takes {
    ($of:ident $type:ty: |$it:ident| $call:expr) => {
        (Of::$of, |handle| {
            // SAFETY: as above.
            let $it = unsafe { <$type>::from_handle(handle) };
            ignore($call);
        })
    };
}

const FUNCTIONS: &[Function] = &[
    on!(Fields Fields: |it| it.get("a")),
    on!(Fields Fields: |it| it.has("a")),
    on!(Fields Fields: |it| it.set("a", &[])),
    on!(Fields Fields: |it| it.delete("a")),
    on!(Fields Fields: |it| it.append("a", b"1")),
    on!(Fields Fields: |it| it.entries()),
    on!(Fields Fields: |it| Fields::clone(&it)),
    takes!(Fields Fields: |it| it),
    takes!(Fields Fields: |it| OutgoingRequest::new(it)),
    takes!(Fields Fields: |it| OutgoingResponse::new(it)),
    takes!(Fields Fields: |it| {
        let response = OutgoingResponse::new(Fields::new());
        OutgoingBody::finish(response.body().expect("the first call"), Some(it))
    }),
    on!(Request IncomingRequest: |it| it.method()),
    on!(Request IncomingRequest: |it| it.path_with_query()),
    on!(Request IncomingRequest: |it| it.scheme()),
    on!(Request IncomingRequest: |it| it.authority()),
    on!(Request IncomingRequest: |it| it.headers()),
    on!(Request IncomingRequest: |it| it.consume()),
    takes!(Request IncomingRequest: |it| it),
    on!(OutgoingRequest OutgoingRequest: |it| it.body()),
    on!(OutgoingRequest OutgoingRequest: |it| it.method()),
    on!(OutgoingRequest OutgoingRequest: |it| it.set_method(&Method::Get)),
    on!(OutgoingRequest OutgoingRequest: |it| it.path_with_query()),
    on!(OutgoingRequest OutgoingRequest: |it| it.set_path_with_query(Some("/"))),
    on!(OutgoingRequest OutgoingRequest: |it| it.scheme()),
    on!(OutgoingRequest OutgoingRequest: |it| it.set_scheme(None)),
    on!(OutgoingRequest OutgoingRequest: |it| it.authority()),
    on!(OutgoingRequest OutgoingRequest: |it| it.set_authority(None)),
    on!(OutgoingRequest OutgoingRequest: |it| it.headers()),
    takes!(OutgoingRequest OutgoingRequest: |it| it),
    takes!(OutgoingRequest OutgoingRequest: |it| outgoing_handler::handle(it, None)),
    on!(Options RequestOptions: |it| it.connect_timeout()),
    on!(Options RequestOptions: |it| it.set_connect_timeout(None)),
    on!(Options RequestOptions: |it| it.first_byte_timeout()),
    on!(Options RequestOptions: |it| it.set_first_byte_timeout(None)),
    on!(Options RequestOptions: |it| it.between_bytes_timeout()),
    on!(Options RequestOptions: |it| it.set_between_bytes_timeout(None)),
    takes!(Options RequestOptions: |it| it),
    takes!(Options RequestOptions: |it| outgoing_handler::handle(OutgoingRequest::new(Fields::new()), Some(it))),
    takes!(Other ResponseOutparam: |it| it),
    takes!(Other ResponseOutparam: |it| ResponseOutparam::set(it, Err(ErrorCode::LoopDetected))),
    takes!(Other ResponseOutparam: |it| ResponseOutparam::set(it, Ok(OutgoingResponse::new(Fields::new())))),
    on!(Response OutgoingResponse: |it| it.status_code()),
    on!(Response OutgoingResponse: |it| it.set_status_code(200)),
    on!(Response OutgoingResponse: |it| it.headers()),
    on!(Response OutgoingResponse: |it| it.body()),
    takes!(Response OutgoingResponse: |it| it),
    on!(OutgoingBody OutgoingBody: |it| it.write()),
    takes!(OutgoingBody OutgoingBody: |it| OutgoingBody::finish(it, None)),
    takes!(OutgoingBody OutgoingBody: |it| it),
    on!(IncomingBody IncomingBody: |it| it.stream()),
    takes!(IncomingBody IncomingBody: |it| IncomingBody::finish(it)),
    takes!(IncomingBody IncomingBody: |it| it),
    on!(Other FutureTrailers: |it| it.subscribe().ready()),
    on!(Other FutureTrailers: |it| it.get()),
    takes!(Other FutureTrailers: |it| it),
    on!(Other FutureIncomingResponse: |it| it.subscribe().ready()),
    on!(Other FutureIncomingResponse: |it| it.get()),
    takes!(Other FutureIncomingResponse: |it| it),
    on!(Other IncomingResponse: |it| it.status()),
    on!(Other IncomingResponse: |it| it.headers()),
    on!(Other IncomingResponse: |it| it.consume()),
    takes!(Other IncomingResponse: |it| it),
    on!(Other Error: |it| it.to_debug_string()),
    on!(Other Error: |it| http_error_code(&it)),
    takes!(Other Error: |it| it),
    on!(Pollable Pollable: |it| it.ready()),
    on!(Pollable Pollable: |it| it.block()),
    on!(Pollable Pollable: |it| poll(&[&subscribe_duration(0), &it])),
    takes!(Pollable Pollable: |it| it),
    on!(Input InputStream: |it| it.read(1)),
    on!(Input InputStream: |it| it.blocking_read(1)),
    on!(Input InputStream: |it| it.skip(1)),
    on!(Input InputStream: |it| it.blocking_skip(1)),
    on!(Input InputStream: |it| it.subscribe().ready()),
    on!(Input InputStream: |it| get_stdout().splice(&it, 1)),
    on!(Input InputStream: |it| get_stdout().blocking_splice(&it, 1)),
    takes!(Input InputStream: |it| it),
    on!(Output OutputStream: |it| it.check_write()),
    on!(Output OutputStream: |it| it.write(b"a")),
    on!(Output OutputStream: |it| it.blocking_write_and_flush(b"a")),
    on!(Output OutputStream: |it| it.flush()),
    on!(Output OutputStream: |it| it.blocking_flush()),
    on!(Output OutputStream: |it| it.subscribe().ready()),
    on!(Output OutputStream: |it| it.write_zeroes(1)),
    on!(Output OutputStream: |it| it.blocking_write_zeroes_and_flush(1)),
    on!(Output OutputStream: |it| it.splice(&get_stdin(), 1)),
    on!(Output OutputStream: |it| it.blocking_splice(&get_stdin(), 1)),
    takes!(Output OutputStream: |it| it),
    takes!(Other TerminalInput: |it| it),
    takes!(Other TerminalOutput: |it| it),
];

pub const COUNT: usize = FUNCTIONS.len();

pub fn unknown(n: usize, _: &IncomingRequest, _: ResponseOutparam) {
    FUNCTIONS[n].1(UNKNOWN);
}

pub fn of_another_type(n: usize, request: &IncomingRequest, _: ResponseOutparam) {
    let (of, function) = FUNCTIONS[n];
    let other = if of == Of::Request { Fields::new().take_handle() } else { request.handle() };
    function(other);
}

/// The one with the number `?handle`, of a guest that has some of most types.
pub fn any(n: usize, request: &IncomingRequest, _: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first call");
    let stream = body.write().expect("the first call");
    let writable = stream.subscribe();
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let _kept = (subscribe_duration(0), writable, stream, body, response, input.subscribe(), input, incoming);
    let _more = (RequestOptions::new(), OutgoingRequest::new(Fields::new()), get_stdin(), get_stdout(), Fields::new());
    FUNCTIONS[n].1(u32::try_from(number(request, "handle", 0)).expect("a small number"));
}

/// One of the right type, as far as that can be had, that has been dropped.
pub fn dropped(n: usize, request: &IncomingRequest, _: ResponseOutparam) {
    let (of, function) = FUNCTIONS[n];
    /// Drops what it has the handle of.
    macro_rules! gone {
        ($it:expr) => {{
            let it = $it;
            it.handle()
        }};
    }
    let response = || OutgoingResponse::new(Fields::new());
    // Dropped after it, so that what the function needs besides gets their numbers and not its own.
    let others = [(); 4].map(|()| Fields::new());
    let handle = match of {
        Of::Fields | Of::Other => gone!(Fields::new()),
        Of::Request => {
            // SAFETY: it has the handle for itself now, since nobody uses the request again.
            gone!(unsafe { IncomingRequest::from_handle(request.handle()) })
        }
        Of::OutgoingRequest => gone!(OutgoingRequest::new(Fields::new())),
        Of::Options => gone!(RequestOptions::new()),
        Of::Response => gone!(response()),
        Of::OutgoingBody => gone!(response().body().expect("the first call")),
        Of::IncomingBody => gone!(request.consume().expect("the first call")),
        Of::Pollable => gone!(subscribe_duration(0)),
        Of::Input => gone!(get_stdin()),
        Of::Output => gone!(get_stdout()),
    };
    drop(others);
    function(handle);
}
