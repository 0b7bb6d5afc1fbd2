//! Answers `hello from wstd`.

use wstd::http::{Body, Request, Response, Result};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>> {
    Ok(Response::new("hello from wstd\n".to_owned().into()))
}
