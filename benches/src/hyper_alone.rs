//! What everything is compared with: hyper alone, giving the same answers as the functions do to `GET /PATH`, `POST /echo` and
//! `POST /json`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::load::Protocol;
use crate::order::Order;

/// Serves one connection until it ends.
pub async fn serve<S>(stream: S, protocol: Protocol)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let io = TokioIo::new(stream);
    // A client that hangs up ends its connection, and nothing else.
    match protocol {
        Protocol::Http1 => drop(http1::Builder::new().serve_connection(io, service_fn(answer)).await),
        Protocol::Http2 => {
            drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service_fn(answer)).await);
        }
    }
}

/// Serves one connection with hellos alone: nothing has to be chosen, so that what is counted is hyper's.
pub async fn serve_hello<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(hello(request.uri().path())));
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
}

async fn answer(request: Request<Incoming>) -> anyhow::Result<Response<Either<Full<Bytes>, Incoming>>> {
    match request.uri().path() {
        "/echo" => Ok(typed(Either::Right(request.into_body()), "application/octet-stream")),
        "/json" => {
            let body = request.into_body().collect().await?.to_bytes();
            let priced = serde_json::to_vec(&serde_json::from_slice::<Order>(&body)?.priced())?;
            Ok(typed(Either::Left(Full::new(priced.into())), "application/json"))
        }
        path => Ok(hello(path).map(Either::Left)),
    }
}

fn hello(path: &str) -> Response<Full<Bytes>> {
    typed(Full::new(format!("hello from {path}\n").into()), "text/plain; charset=utf-8")
}

fn typed<B>(body: B, kind: &'static str) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
