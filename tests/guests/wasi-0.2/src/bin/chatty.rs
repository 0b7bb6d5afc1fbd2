//! Writes `?lines` lines to standard output and as many to standard error, each with `?label`.

use guests_wasi02::{answer, handler, number, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let label = query(&request, "label").unwrap_or_else(|| "chatty".to_owned());
    for i in 0..number(&request, "lines", 1) {
        println!("{label} out {i}");
        eprintln!("{label} err {i}");
    }
    answer(out, 200, "said\n");
}

handler!(handle);
