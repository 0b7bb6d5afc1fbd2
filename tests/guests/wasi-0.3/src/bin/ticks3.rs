//! Answers what the system clock tells: its resolution in nanoseconds, and the time as seconds and nanoseconds.

use guests_wasi03::{answer, handler};
use wasip3::clocks::system_clock;
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    let now = system_clock::now();
    answer(200, format!("{} {} {}", system_clock::get_resolution(), now.seconds, now.nanoseconds))
}

handler!(handle);
