//! The function `other` that guests call, which answers each path in its own way. There is none called `nobody`.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use samovar_model::{Fault, FunctionName, RequestId};
use samovar_runtime::{CallBody, Calling, Functions};

pub(crate) struct Other;

impl Functions for Other {
    fn call(&self, function: &FunctionName, request: Request<CallBody>, _: RequestId) -> Option<Calling> {
        (function.as_str() == "other").then(|| Box::pin(answer(request)) as Calling)
    }
}

type Pieces = Vec<Result<Frame<Bytes>, Fault>>;

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, Fault> {
    Ok(Frame::data(bytes.into()))
}

fn trailers() -> Result<Frame<Bytes>, Fault> {
    let sum = (HeaderName::from_static("x-sum"), HeaderValue::from_static("abc"));
    Ok(Frame::trailers(HeaderMap::from_iter([sum.clone(), sum])))
}

async fn answer(request: Request<CallBody>) -> Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Fault>> {
    let mut headers = HeaderMap::new();
    let pieces: Pieces = match request.uri().path() {
        "/echo" => vec![data(told(request).await)],
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            vec![data("late")]
        }
        "/never" => std::future::pending().await,
        "/pieces" => vec![data("one"), data(""), data("two"), data("three")],
        "/large" => (0..30_u8).map(|i| data(vec![i; 4000])).collect(),
        "/trailers" => vec![data("with trailers"), trailers()],
        "/many-headers" => {
            for i in 0..60_u16 {
                let name = HeaderName::from_bytes(format!("x-{}", i % 50).as_bytes()).expect("a name");
                headers.append(name, i.into());
            }
            Vec::new()
        }
        "/empty" => Vec::new(),
        "/breaks" => vec![data("half"), Err(Fault::Trap)],
        "/breaks-late" => vec![data("half"), Err(Fault::Deadline(Duration::from_secs(1)))],
        "/breaks-at-once" => vec![Err(Fault::Trap)],
        _ => {
            headers.append("x-several", HeaderValue::from_static("a"));
            headers.append("x-several", HeaderValue::from_bytes(b"\xff").expect("a value"));
            headers.append("x-empty", HeaderValue::from_static(""));
            vec![data("plain")]
        }
    };
    let body = futures_util::stream::iter(pieces).then(async |piece| {
        // So that the pieces stay pieces.
        tokio::task::yield_now().await;
        piece
    });
    let mut answer = Response::new(StreamBody::new(body).boxed_unsync());
    *answer.status_mut() = http::StatusCode::ACCEPTED;
    *answer.headers_mut() = headers;
    answer
}

/// What came of a request.
async fn told(request: Request<CallBody>) -> Vec<u8> {
    let (head, body) = request.into_parts();
    let mut told = format!("{} {}\n", head.method, head.uri).into_bytes();
    let mut headers: Vec<_> = head.headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in headers {
        writeln!(told, "{name}: {}", value.as_bytes().escape_ascii()).expect("there is memory");
    }
    match body.collect().await {
        Ok(body) => {
            writeln!(told, "{:?}", body.trailers()).expect("there is memory");
            told.extend(body.to_bytes());
        }
        Err(error) => writeln!(told, "{error:?}").expect("there is memory"),
    }
    told
}
