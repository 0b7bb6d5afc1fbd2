//! Allocates `?mib` and writes to every page of it, then answers.

use guests_wasi02::{answer, handler, number};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let mib = number(&request, "mib", 1);
    let mut memory = vec![0_u8; usize::try_from(mib).expect("a small number") << 20];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    let touched: usize = std::hint::black_box(&memory).iter().step_by(4096).map(|&byte| usize::from(byte)).sum();
    answer(out, 200, &format!("touched {touched} pages\n"));
}

handler!(handle);
