//! Panics with a message, or answers `calm` with `?calm`.

use guests_wasi03::{answer, handler, query};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    assert!(query(&request, "calm").is_some(), "the kettle is dry");
    answer(200, "calm\n")
}

handler!(handle);
