//! Sleeps for `?ms`, then answers how many invocations were in the instance at most so far, this one included.

use guests_wasi03::{answer, handler, number, sleep};
use std::sync::atomic::{AtomicU64, Ordering};
use wasip3::http::types::{ErrorCode, Request, Response};

static INSIDE: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let inside = INSIDE.fetch_add(1, Ordering::Relaxed) + 1;
    MOST.fetch_max(inside, Ordering::Relaxed);
    sleep(number(&request, "ms", 100)).await;
    INSIDE.fetch_sub(1, Ordering::Relaxed);
    answer(200, MOST.load(Ordering::Relaxed).to_string())
}

handler!(handle);
