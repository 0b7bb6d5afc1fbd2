//! Sends `?count` chunks, `?ms` apart: `chunk 0`, `chunk 1`, … The first one is sent at once.

use futures_lite::stream::unfold;
use wstd::http::body::Bytes;
use wstd::http::{Body, Request, Response, Result};
use wstd::time::Duration;

fn number(query: &str, key: &str, default: u64) -> u64 {
    let value = |pair: &str| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
    query.split('&').find_map(value).unwrap_or(default)
}

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let query = request.uri().query().unwrap_or_default();
    let (count, pause) = (number(query, "count", 3), Duration::from_millis(number(query, "ms", 0)));
    let chunks = unfold(0, move |i| async move {
        if i == count {
            return None;
        }
        if i > 0 {
            wstd::task::sleep(pause).await;
        }
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("chunk {i}\n"))), i + 1))
    });
    Ok(Response::new(Body::from_try_stream(chunks)))
}
