//! Writes `?mib` to standard output in lines of `?line` bytes, `?chunk` bytes with each call of the host, and answers then.

use guests_wasi02::{answer, handler, number};
use wasip2::cli::stdout;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let number = |key, default| usize::try_from(number(&request, key, default)).expect("a small number");
    let (mib, line, chunk) = (number("mib", 1), number("line", 100), number("chunk", 64 << 10));
    let bytes: Vec<u8> = (1..=chunk).map(|i| if i % line == 0 { b'\n' } else { b'x' }).collect();
    let stream = stdout::get_stdout();
    for _ in 0..(mib << 20).div_ceil(chunk.max(1)) {
        stream.write(&bytes).expect("standard output is open");
    }
    answer(out, 200, &format!("wrote {mib} MiB\n"));
}

handler!(handle);
