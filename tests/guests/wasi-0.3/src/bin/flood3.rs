//! Writes `?mib` to standard output in lines of `?line` bytes, `?chunk` bytes at once, and answers then.

use guests_wasi03::{answer, handler, number};
use wasip3::cli::stdout;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_stream;

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let number = |key, default| usize::try_from(number(&request, key, default)).expect("a small number");
    let (mib, line, chunk) = (number("mib", 1), number("line", 100), number("chunk", 64 << 10));
    let mut bytes: Vec<u8> = (1..=chunk).map(|i| if i % line == 0 { b'\n' } else { b'x' }).collect();
    let (mut writer, reader) = wit_stream::new();
    let _written = stdout::write_via_stream(reader);
    for _ in 0..(mib << 20).div_ceil(chunk.max(1)) {
        assert!(writer.write_all(bytes.clone()).await.is_empty(), "standard output is open");
    }
    bytes.clear();
    answer(200, format!("wrote {mib} MiB\n"))
}

handler!(handle);
