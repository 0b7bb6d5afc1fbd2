//! Reads the whole request body before it answers, and then says how many bytes there were.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::io::streams::StreamError;

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let mut length = 0;
    loop {
        match input.blocking_read(64 << 10) {
            Ok(chunk) => length += chunk.len(),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => panic!("reading: {}", error.to_debug_string()),
        }
    }
    answer(out, 200, &format!("{length} bytes\n"));
}

handler!(handle);
