//! Answers `hello from wasi 0.3`.

use guests_wasi03::{answer, handler};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    answer(200, "hello from wasi 0.3\n")
}

handler!(handle);
