//! Takes `?count` of the host's resources and keeps them all: `?what=clocks`, `fields`, `methods` (requests with a long
//! method), or `bodies` (requests with a body that is written as far as the host takes it). Answers with what it got.

use guests_wasi02::{answer, handler, number, query};
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let count = number(&request, "count", 1);
    match query(&request, "what").as_deref() {
        Some("clocks") => keep(count, || monotonic_clock::subscribe_duration(u64::MAX)),
        Some("fields") => {
            let value = vec![b'x'; 30 << 10];
            keep(count, || Fields::from_list(&[("x".to_owned(), value.clone())]));
        }
        Some("methods") => {
            let method = Method::Other("X".repeat(90 << 10));
            keep(count, || {
                let request = OutgoingRequest::new(Fields::new());
                (request.set_method(&method), request)
            });
        }
        Some("bodies") => {
            let bytes = vec![b'x'; 256 << 10];
            keep(count, || {
                let request = OutgoingRequest::new(Fields::new());
                let body = request.body().expect("the first call");
                let stream = body.write().expect("the first call");
                while let Ok(room @ 1..) = stream.check_write() {
                    let room = usize::try_from(room).expect("a small number").min(bytes.len());
                    stream.write(&bytes[..room]).expect("there is room");
                }
                (stream, body, request)
            });
        }
        _ => {}
    }
    answer(out, 200, &format!("took {count}\n"));
}

fn keep<T>(count: u64, take: impl FnMut() -> T) {
    let mut take = take;
    let kept: Vec<T> = (0..count).map(|_| take()).collect();
    std::mem::forget(kept);
}

handler!(handle);
