//! Asks for the time in an endless loop: a core is busy, mostly inside the host.

use guests_wasi02::handler;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    loop {
        std::hint::black_box(monotonic_clock::now());
    }
}

handler!(handle);
