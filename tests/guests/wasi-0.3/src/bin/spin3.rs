//! Keeps a core busy without an end.

use guests_wasi03::handler;
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

handler!(handle);
