//! Gives an error code back instead of a response.

use guests_wasi03::handler;
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    Err(ErrorCode::InternalError(Some("no answer today".to_owned())))
}

handler!(handle);
