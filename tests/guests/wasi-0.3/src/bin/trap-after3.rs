//! Answers in full; a task that it leaves behind traps a moment later. Not so with `?calm`.

use guests_wasi03::{answer, handler, query, sleep, spawn_local};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    if query(&request, "calm").is_none() {
        spawn_local(async {
            sleep(200).await;
            std::arch::wasm32::unreachable();
        });
    }
    answer(200, "answered\n")
}

handler!(handle);
