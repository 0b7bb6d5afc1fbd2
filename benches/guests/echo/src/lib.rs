//! Streams the request's body back as it comes.

use samovar_sdk::{Body, Response, Result, handler};

#[handler]
async fn echo(body: Body) -> Result<Response> {
    Response::new(body).with_header("content-type", "application/octet-stream")
}
