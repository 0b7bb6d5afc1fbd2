//! Streams the request's body back as it comes, and passes its trailers on. With `?direct` the streams are joined instead
//! of copied.

use guests_wasi03::{handler, query, response, stream};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::wit_future;

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let direct = query(&request, "direct").is_some();
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut body, trailers) = Request::consume_body(request, done);
    if direct {
        return Ok(response(200, &[], body, trailers));
    }
    Ok(stream(200, async move |mut writer| {
        let mut chunk = Vec::with_capacity(64 << 10);
        loop {
            let (outcome, filled) = body.read(chunk).await;
            if !filled.is_empty() && !writer.write_all(filled).await.is_empty() {
                return Ok(None);
            }
            if !matches!(outcome, StreamResult::Complete(_)) {
                break;
            }
            chunk = Vec::with_capacity(64 << 10);
        }
        drop(writer);
        trailers.await
    }))
}

handler!(handle);
