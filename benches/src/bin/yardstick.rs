//! What everything is compared with: hyper alone, giving the same answers as the functions, for one protocol.
//!
//! ```text
//! yardstick http1|http2     GET /PATH, POST /echo, POST /json
//! ```

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let is_http2 = match std::env::args().nth(1).as_deref() {
        None | Some("http1") => false,
        Some("http2") => true,
        Some(other) => anyhow::bail!("`{other}`: neither http1 nor http2"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening  http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        tokio::spawn(async move {
            // A client that hangs up ends its connection, and nothing else.
            if is_http2 {
                drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service_fn(answer)).await);
            } else {
                drop(http1::Builder::new().serve_connection(io, service_fn(answer)).await);
            }
        });
    }
}

type Answer = Response<Either<Full<Bytes>, Incoming>>;

async fn answer(request: Request<Incoming>) -> anyhow::Result<Answer> {
    match request.uri().path() {
        "/echo" => Ok(typed(Either::Right(request.into_body()), "application/octet-stream")),
        "/json" => {
            let body = request.into_body().collect().await?.to_bytes();
            let priced = serde_json::to_vec(&price(serde_json::from_slice(&body)?))?;
            Ok(typed(Either::Left(Full::new(priced.into())), "application/json"))
        }
        path => {
            let body = format!("hello from {path}\n");
            Ok(typed(Either::Left(Full::new(body.into())), "text/plain; charset=utf-8"))
        }
    }
}

fn typed(body: Either<Full<Bytes>, Incoming>, kind: &'static str) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[derive(Debug, Deserialize)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    id: u64,
    name: String,
    price_cents: u64,
    quantity: u64,
    tags: Vec<String>,
    #[serde(default)]
    checked: bool,
}

#[derive(Debug, Serialize)]
struct Priced {
    customer: String,
    items: Vec<Item>,
    total_cents: u64,
}

/// What the function in `benches/guests/json` does.
fn price(order: Order) -> Priced {
    let mut items = order.items;
    let mut total_cents = 0;
    for item in &mut items {
        item.price_cents += item.price_cents / 10;
        item.checked = true;
        total_cents += item.price_cents * item.quantity;
    }
    Priced { customer: order.customer, items, total_cents }
}
