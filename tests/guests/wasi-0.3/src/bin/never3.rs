//! Sleeps for an hour before it answers.

use guests_wasi03::{answer, handler, sleep};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    sleep(3_600_000).await;
    answer(200, "at last\n")
}

handler!(handle);
