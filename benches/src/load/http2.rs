//! HTTP/2 without TLS, with hyper's client: one request at a time on each connection.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Call;

/// Repeats a call on one connection; how long each took.
pub(super) async fn repeat(address: &str, call: &Call, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = request(address, call)?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        sender.ready().await?;
        let response = sender.send_request(request.clone()).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        latencies.push(started.elapsed());
        call.check(status.as_u16(), &body)?;
    }
    drop(sender);
    // It ends well when its last sender is gone; the server may also have closed it first.
    drop(connection.await);
    Ok(latencies)
}

fn request(address: &str, call: &Call) -> anyhow::Result<Request<Full<bytes::Bytes>>> {
    let builder = Request::builder().uri(format!("http://{address}{}", call.path));
    Ok(match &call.body {
        None => builder.body(Full::default())?,
        Some((body, kind)) => {
            builder.method("POST").header(header::CONTENT_TYPE, *kind).body(Full::new(body.clone()))?
        }
    })
}
