//! Answers in full; a task that it leaves behind keeps a core busy without an end. Not so with `?calm`.

use guests_wasi03::{answer, handler, query, sleep, spawn_local};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    if query(&request, "calm").is_none() {
        spawn_local(async {
            sleep(200).await;
            let mut turns: u64 = 0;
            loop {
                turns = std::hint::black_box(turns.wrapping_add(1));
            }
        });
    }
    answer(200, "answered\n")
}

handler!(handle);
