//! Promises a body of `?declared` bytes and writes `?actual`, or with `?none` answers without a body.

use guests_wasi02::{begin, handler, number, query, write};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let declared = number(&request, "declared", 10).to_string();
    let actual = usize::try_from(number(&request, "actual", 10)).expect("a small number");
    if query(&request, "none").is_some() {
        let headers =
            Fields::from_list(&[("content-length".to_owned(), declared.into_bytes())]).expect("valid headers");
        return ResponseOutparam::set(out, Ok(OutgoingResponse::new(headers)));
    }
    let body = begin(out, 200, &[("content-length", &declared)]);
    write(&body, &vec![b'x'; actual]);
    if let Err(error) = OutgoingBody::finish(body, None) {
        eprintln!("finish: {error:?}");
    }
}

handler!(handle);
