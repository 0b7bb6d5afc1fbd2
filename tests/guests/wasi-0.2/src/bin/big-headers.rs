//! Answers with `?bytes` of headers, a thousand in each.

use guests_wasi02::{begin, handler, number, write};
use wasip2::http::types::{IncomingRequest, OutgoingBody, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let bytes = usize::try_from(number(&request, "bytes", 1000)).expect("a small number");
    let named: Vec<_> =
        (0..bytes.div_ceil(1000)).map(|i| (format!("x-big-{i}"), "x".repeat((bytes - i * 1000).min(1000)))).collect();
    let headers: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = begin(out, 200, &headers);
    write(&body, b"big headers\n");
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

handler!(handle);
