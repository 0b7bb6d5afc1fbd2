//! What the guest makes: `outgoing-request`, `request-options`, `outgoing-response` and `outgoing-body`.

use super::streams::outcome;
use super::tell;
use guests_wasi02::{begin, number, write};
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, ResponseOutparam,
    Scheme,
};

fn with_length(length: &str) -> Fields {
    Fields::from_list(&[("content-length".to_owned(), length.as_bytes().to_vec())]).expect("a valid header")
}

pub fn request(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let request = OutgoingRequest::new(with_length("3"));
    tell!(told;
        request.method(),
        request.path_with_query(),
        request.scheme(),
        request.authority(),
        request.headers().entries(),
        request.headers().append("x", b""),
        request.headers().clone().append("x", b""),
    );
    let other = |name: &str| Method::Other(name.to_owned());
    let methods = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Connect,
        Method::Options,
        Method::Trace,
        Method::Patch,
        other("BREW"),
        other("GET"),
        other(""),
        other("NO METHOD"),
        other("É"),
    ];
    for method in methods {
        tell!(told; method, request.set_method(&method), request.method());
    }
    for path in [Some("/a?b=c"), Some(""), Some("?"), Some("no path"), Some("/é"), Some("/\n"), Some("*"), None] {
        tell!(told; path, request.set_path_with_query(path), request.path_with_query());
    }
    let other = |name: &str| Scheme::Other(name.to_owned());
    for scheme in [Scheme::Http, Scheme::Https, other("ftp"), other("http"), other(""), other("no scheme"), other("1")]
    {
        tell!(told; scheme, request.set_scheme(Some(&scheme)), request.scheme());
    }
    tell!(told; request.set_scheme(None), request.scheme());
    for authority in [Some("a.example:80"), Some("user@[::1]"), Some(""), Some("a b"), Some("a:b:c"), Some("a/b"), None]
    {
        tell!(told; authority, request.set_authority(authority), request.authority());
    }
    told
}

pub fn request_body(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let request = OutgoingRequest::new(Fields::new());
    let body = request.body();
    tell!(told; body.is_ok(), request.body().is_err());
    drop(body);
    tell!(told; request.body().is_err());
    let request = OutgoingRequest::new(with_length("3"));
    let body = request.body().expect("the first call");
    // The body outlives its request, and nobody reads it any more.
    drop(request);
    tell!(told; body.write().map(|stream| outcome(stream.write(b"abc"))), OutgoingBody::finish(body, None));
    told
}

pub fn options(_: &IncomingRequest) -> String {
    let (mut told, options) = (String::new(), RequestOptions::new());
    for nanos in [Some(0), Some(1), Some(1_500_000_000), Some(u64::MAX), None] {
        tell!(told;
            nanos,
            options.connect_timeout(),
            options.set_connect_timeout(nanos),
            options.connect_timeout(),
            options.first_byte_timeout(),
            options.set_first_byte_timeout(nanos),
            options.first_byte_timeout(),
            options.between_bytes_timeout(),
            options.set_between_bytes_timeout(nanos),
            options.between_bytes_timeout(),
        );
    }
    told
}

pub fn response(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let response = OutgoingResponse::new(with_length("3"));
    tell!(told; response.status_code(), response.headers().entries(), response.headers().delete("content-length"));
    for status in [100, 204, 599, 600, 999, 0, 99, 1000, u16::MAX] {
        tell!(told; status, response.set_status_code(status), response.status_code());
    }
    let body = response.body();
    tell!(told; body.is_ok(), response.body().is_err());
    drop(body);
    tell!(told; response.body().is_err());
    told
}

fn finished(trailers: Option<Fields>) -> Result<(), String> {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first call");
    OutgoingBody::finish(body, trailers).map_err(|code| format!("{code:?}"))
}

pub fn body(request: &IncomingRequest) -> String {
    let mut told = String::new();
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first call");
    let stream = body.write();
    tell!(told; stream.is_ok(), body.write().is_err());
    drop(stream);
    tell!(told; body.write().is_err(), OutgoingBody::finish(body, None));
    tell!(told;
        finished(None),
        finished(Some(Fields::new())),
        finished(Some(with_length("3"))),
        // Ones that cannot be changed, and that are the request's.
        finished(Some(request.headers())),
        request.headers().entries().len(),
    );
    told
}

/// Writes as much of a body of this length, and finishes it.
fn of_a_length(declared: &str, pieces: &[&[u8]]) -> (Vec<Result<(), String>>, Result<(), String>) {
    let response = OutgoingResponse::new(with_length(declared));
    let body = response.body().expect("the first call");
    let stream = body.write().expect("the first call");
    let written = pieces.iter().map(|piece| outcome(stream.write(piece))).collect();
    drop(stream);
    (written, OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}")))
}

pub fn body_of_a_length(_: &IncomingRequest) -> String {
    let mut told = String::new();
    tell!(told;
        of_a_length("3", &[b"ab", b"c"]),
        of_a_length("3", &[b"ab"]),
        of_a_length("3", &[]),
        of_a_length("3", &[b"ab", b"cd", b"e"]),
        of_a_length("0", &[]),
        of_a_length("0", &[b""]),
        of_a_length("0", &[b"a"]),
        of_a_length("18446744073709551615", &[b"a"]),
    );
    let request = OutgoingRequest::new(with_length("2"));
    let body = request.body().expect("the first call");
    tell!(told; body.write().map(|stream| outcome(stream.write(b"abc"))), OutgoingBody::finish(body, None));
    told
}

/// What answers are sent with. Those below 200 are none.
pub const STATUSES: [u16; 8] = [200, 201, 204, 304, 404, 599, 999, 101];

pub fn status(request: IncomingRequest, out: ResponseOutparam) {
    let n = usize::try_from(number(&request, "n", 0)).expect("a small number");
    let body = begin(out, STATUSES[n], &[("x-a", "1"), ("X-A", ""), ("set-cookie", "a=1"), ("x-samovar-a", "hidden")]);
    write(&body, b"some text\n");
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

pub fn no_body(_: IncomingRequest, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(202).expect("a valid status");
    ResponseOutparam::set(out, Ok(response));
}

pub const TRAILERS: usize = 4;

/// After a body and after none, one and several and none.
pub fn trailers(request: IncomingRequest, out: ResponseOutparam) {
    let n = number(&request, "n", 0);
    let body = begin(out, 200, &[("trailer", "x-sum")]);
    if n < 3 {
        write(&body, b"text\n");
    }
    let list: Vec<(String, Vec<u8>)> = match n {
        0 => vec![("x-sum".to_owned(), b"abc".to_vec()), ("x-sum".to_owned(), Vec::new())],
        1 => Vec::new(),
        2 => (0..50).map(|i| (format!("x-{i}"), b"\x80".to_vec())).collect(),
        _ => vec![("x-sum".to_owned(), b"of nothing".to_vec())],
    };
    OutgoingBody::finish(body, Some(Fields::from_list(&list).expect("valid trailers")))
        .expect("no length was promised");
}

pub fn not_set(_: IncomingRequest, out: ResponseOutparam) {
    println!("about to say nothing");
    drop(out);
}
