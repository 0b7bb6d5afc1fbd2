//! Answers what the wall clock tells: its resolution in nanoseconds, and the time as seconds and nanoseconds.

use guests_wasi02::{answer, handler};
use wasip2::clocks::wall_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let (resolution, now) = (wall_clock::resolution(), wall_clock::now());
    let resolution = resolution.seconds * 1_000_000_000 + u64::from(resolution.nanoseconds);
    answer(out, 200, &format!("{resolution} {} {}", now.seconds, now.nanoseconds));
}

handler!(handle);
