//! Ends its process with the code `?code` instead of answering.

use guests_wasi02::{handler, number};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, _out: ResponseOutparam) {
    let code = number(&request, "code", 0);
    std::process::exit(i32::try_from(code).expect("a small code"));
}

handler!(handle);
