//! Writes `?lines` lines to standard output and as many to standard error, each with `?label`.

use guests_wasi03::{answer, handler, number, query};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let label = query(&request, "label").unwrap_or_else(|| "chatty".to_owned());
    for i in 0..number(&request, "lines", 1) {
        println!("{label} out {i}");
        eprintln!("{label} err {i}");
    }
    answer(200, "said\n")
}

handler!(handle);
