//! Makes `?count` streams and keeps both ends of each, or with `?what=waits` so many waits for a moment that never comes.
//! Answers with what it got.

use guests_wasi03::{answer, handler, number, query, sleep, spawn_local};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_stream;

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let count = number(&request, "count", 1);
    if query(&request, "what").as_deref() == Some("waits") {
        for _ in 0..count {
            spawn_local(sleep(3_600_000));
        }
        sleep(1).await;
    } else {
        let streams: Vec<_> = (0..count).map(|_| wit_stream::new::<u8>()).collect();
        std::mem::forget(streams);
    }
    answer(200, format!("took {count}\n"))
}

handler!(handle);
