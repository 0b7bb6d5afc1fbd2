//! The yardstick: hyper alone, answering the same bytes as the hello example.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one connection until it ends.
pub async fn serve<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A client that hangs up ends its connection, and nothing else.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = format!("hello from {}\n", request.uri().path());
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}
