//! Allocates `?mib` and writes to every page of it, then answers.

use guests_wasi03::{answer, handler, number};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let mib = number(&request, "mib", 1);
    let mut memory = vec![0_u8; usize::try_from(mib).expect("a small number") << 20];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    let touched: usize = std::hint::black_box(&memory).iter().step_by(4096).map(|&byte| usize::from(byte)).sum();
    answer(200, format!("touched {touched} pages\n"))
}

handler!(handle);
