//! Sends `half` of a body, and then: nothing for an hour, or with `?trap` it traps.

use guests_wasi03::{handler, query, sleep, stream};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let trap = query(&request, "trap").is_some();
    Ok(stream(200, async move |mut writer| {
        writer.write_all(b"half".to_vec()).await;
        if trap {
            std::arch::wasm32::unreachable();
        }
        sleep(3_600_000).await;
        drop(writer);
        Ok(None)
    }))
}

handler!(handle);
