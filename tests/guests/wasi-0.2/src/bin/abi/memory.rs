//! Addresses, lengths and numbers that the bindings would never make.

use super::raw::{self, Room, address, len};
use super::{ignore, tell};
use guests_wasi02::number;
use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{
    ErrorCode, FieldSizePayload, Fields, HeaderError, IncomingRequest, Method, OutgoingRequest, OutgoingResponse,
    RequestOptions, ResponseOutparam, Scheme,
};
use wasip2::io::poll::poll;

/// The first address that is not the guest's.
fn end() -> u32 {
    (core::arch::wasm32::memory_size::<0>() << 16) as u32
}

/// What one call may hand over.
const MOST: usize = 96 << 10;

/// An argument that is not in memory, or not where it must be, or no text; or a place for the result that cannot be one.
// SAFETY of all: that the host does not take them is the point.
const BAD: &[fn(&IncomingRequest)] = &[
    |_| has(end() - 1, 2),
    |_| has(end() + 1, 0),
    |_| has(u32::MAX - 15, 32),
    |_| has(0, u32::MAX),
    |_| has(address(b"\xff"), 1),
    |_| has(address("é".as_bytes()), 1),
    |_| has(address(b"a\xed\xa0\x80"), 4),
    |_| unsafe { raw::fields_append(fields(), address(b"a"), 1, end() - 1, 2, Room::new().at()) },
    |_| unsafe { raw::fields_append(fields(), address(b"a"), 1, 1, u32::MAX, Room::new().at()) },
    |_| from_list(end() - 8, 1),
    |_| from_list(end() - 16, 2),
    |_| from_list(end() + 4, 0),
    |_| from_list(end() - 2, 0),
    |_| from_list(1024, u32::MAX),
    |_| from_list(1024, 1 << 28),
    |_| from_list(address(&[0_u32; 8]) + 1, 1),
    |_| from_list(address(&[0_u32; 8]) + 2, 1),
    |_| from_list(address(&[address(b"a"), 1, end() - 1, 2]), 1),
    |_| from_list(address(&[address(b"\x80"), 1, 0, 0]), 1),
    |_| set(address(&[end() - 1, 2]), 1),
    |_| set(address(&[0_u32; 4]) + 1, 1),
    |_| set(end() - 4, 1),
    |_| unsafe { raw::poll(end() - 4, 2, Room::new().at()) },
    |_| unsafe { raw::poll(address(&[0_u32; 2]) + 2, 1, Room::new().at()) },
    |_| unsafe { raw::stream_write(get_stdout().take_handle(), end() - 4, 8, Room::new().at()) },
    |_| unsafe { ignore(raw::set_method(outgoing(), 9, end(), 1)) },
    |_| unsafe { ignore(raw::set_method(outgoing(), 9, address(b"\xc0\x80"), 2)) },
    |_| unsafe { ignore(raw::set_path_with_query(outgoing(), 1, end() - 1, 2)) },
    |_| unsafe { ignore(raw::set_scheme(outgoing(), 1, 2, end() - 1, 2)) },
    // Places for results: not a multiple of what it must be one of.
    |_| unsafe { raw::fields_get(fields(), address(b"a"), 1, Room::new().at() + 1) },
    |_| unsafe { raw::fields_get(fields(), address(b"a"), 1, Room::new().at() + 2) },
    |_| unsafe { raw::fields_entries(fields(), Room::new().at() + 3) },
    |request| unsafe { raw::request_method(request.handle(), Room::new().at() + 2) },
    |request| unsafe { raw::request_consume(request.handle(), Room::new().at() + 1) },
    |_| unsafe { raw::connect_timeout(RequestOptions::new().take_handle(), Room::new().at() + 4) },
    |_| unsafe { raw::stream_check_write(get_stdout().take_handle(), Room::new().at() + 4) },
    |_| unsafe { raw::wall_clock_now(Room::new().at() + 4) },
    |_| unsafe { raw::get_random_bytes(8, Room::new().at() + 2) },
    |_| unsafe { raw::body_finish(body(), 0, 0, Room::new().at() + 4) },
    |_| unsafe { raw::outgoing_handle(outgoing(), 0, 0, Room::new().at() + 4) },
    |_| unsafe { raw::poll(address(&[subscribe_duration(0).take_handle()]), 1, Room::new().at() + 1) },
    // Not in memory, or not all of it.
    |_| unsafe { raw::fields_get(fields(), address(b"a"), 1, end() - 4) },
    |_| unsafe { raw::fields_get(fields(), address(b"none"), 4, end()) },
    |_| unsafe { raw::fields_entries(fields(), u32::MAX - 3) },
    |_| unsafe { raw::fields_from_list(0, 0, end() - 4) },
    |_| unsafe { raw::fields_from_list(4, 0, end() - 7) },
    |request| unsafe { raw::request_method(request.handle(), end() - 8) },
    |_| unsafe { raw::connect_timeout(RequestOptions::new().take_handle(), end() - 8) },
    |_| unsafe { raw::wall_clock_now(end() - 8) },
    |_| unsafe { raw::get_random_bytes(8, end() - 4) },
    |_| unsafe { raw::body_finish(body(), 0, 0, end() - 32) },
    |request| {
        let body = request.consume().expect("the first call");
        let stream = body.stream().expect("the first call");
        unsafe { raw::stream_read(stream.handle(), 1, end() - 8) };
    },
    // What has been written by then stays written.
    |_| unsafe { raw::stream_write(get_stdout().take_handle(), address(b"told\n"), 5, Room::new().at() + 2) },
];

pub const COUNT: usize = BAD.len();

pub fn bad(n: usize, request: &IncomingRequest, _: ResponseOutparam) {
    BAD[n](request);
}

fn fields() -> u32 {
    Fields::from_list(&[("a".to_owned(), b"1".to_vec())]).expect("valid headers").take_handle()
}

fn outgoing() -> u32 {
    OutgoingRequest::new(Fields::new()).take_handle()
}

fn body() -> u32 {
    OutgoingResponse::new(Fields::new()).body().expect("the first call").take_handle()
}

fn has(name: u32, len: u32) {
    // SAFETY: as above.
    ignore(unsafe { raw::fields_has(fields(), name, len) });
}

fn from_list(list: u32, count: u32) {
    // SAFETY: as above.
    unsafe { raw::fields_from_list(list, count, Room::new().at()) };
}

fn set(list: u32, count: u32) {
    // SAFETY: as above.
    unsafe { raw::fields_set(fields(), address(b"a"), 1, list, count, Room::new().at()) };
}

/// A byte more than one call may hand over, in every form.
const LARGE: &[fn(ResponseOutparam)] = &[
    |_| ignore(Fields::new().has(&text(MOST + 1))),
    |_| ignore(Fields::new().append(&text(MOST / 2), &vec![b'x'; MOST / 2 + 1])),
    |_| ignore(Fields::new().set("", &vec![Vec::new(); MOST / 24 + 1])),
    |_| ignore(Fields::new().set("", &[vec![b'x'; MOST - 23]])),
    |_| ignore(from_empty_list(MOST / 48 + 1)),
    |_| ignore(Fields::from_list(&[(text(MOST - 48), b"x".to_vec())])),
    |_| ignore(OutgoingRequest::new(Fields::new()).set_method(&Method::Other(text(MOST + 1)))),
    |_| ignore(OutgoingRequest::new(Fields::new()).set_path_with_query(Some(&text(MOST + 1)))),
    |_| ignore(OutgoingRequest::new(Fields::new()).set_scheme(Some(&Scheme::Other(text(MOST + 1))))),
    |_| ignore(OutgoingRequest::new(Fields::new()).set_authority(Some(&text(MOST + 1)))),
    |_| ignore(get_stdout().write(&vec![b'x'; MOST + 1])),
    |_| ignore(get_stdout().blocking_write_and_flush(&vec![b'x'; MOST + 1])),
    |out| ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(text(MOST + 1))))),
    |out| {
        let field = FieldSizePayload { field_name: Some(text(MOST + 1)), field_size: None };
        ResponseOutparam::set(out, Err(ErrorCode::HttpRequestHeaderSize(Some(field))));
    },
    |_| ignore(poll(&vec![&subscribe_duration(0); MOST / 12 + 1])),
];

pub const TOO_MUCH: usize = LARGE.len();

pub fn too_much(n: usize, _: &IncomingRequest, out: ResponseOutparam) {
    LARGE[n](out);
}

fn text(len: usize) -> String {
    "x".repeat(len)
}

fn from_empty_list(count: usize) -> Result<bool, HeaderError> {
    Fields::from_list(&vec![(String::new(), Vec::new()); count]).map(|fields| fields.has("a"))
}

/// As much as one call may hand over, and not a byte more; and nothing, at the end of memory.
pub fn just_enough(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let request = OutgoingRequest::new(Fields::new());
    tell!(told;
        Fields::new().has(&text(MOST)),
        Fields::new().get(&text(MOST)).len(),
        // Without a name, since none of them holds as much.
        Fields::new().append("", &vec![b'x'; MOST]),
        Fields::new().set("", &vec![Vec::new(); MOST / 24]),
        Fields::new().set("", &[vec![b'x'; MOST - 24]]),
        from_empty_list(MOST / 48),
        request.set_method(&Method::Other(text(MOST))),
        matches!(request.method(), Method::Other(name) if name.len() == MOST),
        request.set_path_with_query(Some(&text(MOST))),
        request.path_with_query().map(|path| path.len()),
        request.set_scheme(Some(&Scheme::Other(text(60)))),
        request.set_authority(Some(&text(MOST))),
        request.authority().map(|authority| authority.len()),
    );
    // SAFETY: nothing is read there, and the results have room.
    unsafe {
        tell!(told;
            raw::fields_has(fields(), end(), 0),
            raw::fields_from_list(end(), 0, Room::new().at()),
            raw::fields_get(fields(), address(b"none"), len(b"none"), (end() - 8).next_multiple_of(4)),
        );
    }
    told
}

/// Numbers of which only a part counts.
pub fn narrow(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let response = OutgoingResponse::new(Fields::new());
    for status in [0x1_00c9, 0xffff_00ca, 0x1_0000] {
        // SAFETY: the bindings would make less of it, but the host takes it.
        tell!(told; unsafe { raw::set_status_code(response.handle(), status) }, response.status_code());
    }
    told
}

/// Error codes with numbers of which only a part counts, or does not at all.
pub const ERRORS: [(u32, u32, u64, u32, u32, u32, u32); 7] = [
    // An `info-code` past 16 bits, and an `alert-id` past 8.
    (1, 0, 0, 0, 1, 0x1_0005, 0),
    (14, 1, 0x1ff, 0, 0, 0, 0),
    // Sizes with more than the 32 bits that they have, and with all 64.
    (21, 1, 0xffff_ffff_0000_0007, 0, 0, 0, 0),
    (17, 1, 0xffff_ffff_0000_0007, 0, 0, 0, 0),
    // What stands where there is nothing.
    (0, 7, 7, 7, 7, 7, 7),
    (31, 0, u64::MAX, u32::MAX, 7, 7, 7),
    (22, 0, u64::MAX, u32::MAX, 7, 7, 7),
];

pub fn error_in_numbers(request: IncomingRequest, out: ResponseOutparam) {
    let n = usize::try_from(number(&request, "n", 0)).expect("a small number");
    let (code, a, b, c, d, e, f) = ERRORS[n];
    // SAFETY: no address is among them.
    unsafe { raw::outparam_set(out.take_handle(), 1, code, a, b, c, d, e, f) };
}

/// Numbers of which none is meant.
const NUMBERS: &[fn(ResponseOutparam)] = &[
    // SAFETY of all: that the host does not take them is the point.
    |_| unsafe { raw::exit(2) },
    |_| unsafe { raw::exit(u32::MAX) },
    |_| unsafe { ignore(raw::set_method(outgoing(), 10, 0, 0)) },
    |_| unsafe { ignore(raw::set_method(outgoing(), u32::MAX, 0, 0)) },
    |_| unsafe { ignore(raw::set_method(outgoing(), 0x100, 0, 0)) },
    |_| unsafe { ignore(raw::set_path_with_query(outgoing(), 2, 0, 0)) },
    |_| unsafe { ignore(raw::set_scheme(outgoing(), 2, 0, 0, 0)) },
    |_| unsafe { ignore(raw::set_scheme(outgoing(), 1, 3, 0, 0)) },
    |_| unsafe { ignore(raw::set_connect_timeout(RequestOptions::new().take_handle(), 2, 0)) },
    |_| unsafe { raw::body_finish(body(), 2, 0, Room::new().at()) },
    |_| unsafe { raw::outgoing_handle(outgoing(), 2, 0, Room::new().at()) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 2, 0, 0, 0, 0, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 39, 0, 0, 0, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, u32::MAX, 0, 0, 0, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 38, 2, 0, 0, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 1, 0, 0, 0, 2, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 22, 1, 2, 0, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 22, 1, 0, 0, 0, 2, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 38, 1, u64::from(end()), 1, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 1, 38, 1, u64::from(address(b"\xff")), 1, 0, 0, 0) },
    |out| unsafe { raw::outparam_set(out.take_handle(), 0, 0, 0, 0, 0, 0, 0, 0) },
    |_| unsafe { raw::body_finish(body(), 1, body(), Room::new().at()) },
];

pub const BAD_NUMBERS: usize = NUMBERS.len();

pub fn bad_number(n: usize, _: &IncomingRequest, out: ResponseOutparam) {
    NUMBERS[n](out);
}
