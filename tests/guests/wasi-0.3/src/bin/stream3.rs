//! Sends `?count` chunks, `?ms` apart: `chunk 0`, `chunk 1`, … The first one is sent at once.

use guests_wasi03::{handler, number, sleep, stream};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let (count, pause) = (number(&request, "count", 3), number(&request, "ms", 0));
    Ok(stream(200, async move |mut writer| {
        for i in 0..count {
            if i > 0 {
                sleep(pause).await;
            }
            if !writer.write_all(format!("chunk {i}\n").into_bytes()).await.is_empty() {
                break;
            }
        }
        drop(writer);
        Ok(None)
    }))
}

handler!(handle);
