//! Answers with a body and trailers.

use guests_wasi03::{handler, stream};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    Ok(stream(200, async move |mut writer| {
        writer.write_all(b"with trailers\n".to_vec()).await;
        drop(writer);
        let trailers = Fields::from_list(&[("x-checksum".to_owned(), b"abc123".to_vec())]).expect("valid trailers");
        Ok(Some(trailers))
    }))
}

handler!(handle);
