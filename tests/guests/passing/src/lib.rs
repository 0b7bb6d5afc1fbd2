//! Gives the caller's body back, with `?begun` after its first piece was read, and with `?more` followed by a trailer of its own. With
//! `?url=URL` it gives what is answered there, where the caller's body goes.

use samovar_sdk::http::{HeaderMap, HeaderValue, Request as HttpRequest};
use samovar_sdk::{Request, Response, Result, handler, send};

#[handler]
async fn passing(req: Request) -> Result<Response> {
    let query = req.uri().query().unwrap_or_default().to_owned();
    let mut body = req.into_body();
    if let Some(url) = query.strip_prefix("url=") {
        return Ok(send(HttpRequest::post(url).body(body)?).await?);
    }
    match query.as_str() {
        "begun" => {
            let first = body.chunk().await?.unwrap_or_default();
            eprintln!("begins with {} bytes", first.len());
            Ok(Response::new(body))
        }
        "more" => {
            let more = HeaderMap::from_iter([("x-more".parse()?, HeaderValue::from_static("yes"))]);
            Ok(Response::new(body.with_trailers(more)))
        }
        _ => Ok(Response::new(body)),
    }
}
