//! Promises a body of `?declared` bytes and writes `?actual`, or with `?none` answers without a body.

use guests_wasi03::{handler, number, query, spawn_local};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let declared = number(&request, "declared", 10).to_string();
    let actual = usize::try_from(number(&request, "actual", 10)).expect("a small number");
    let headers = Fields::from_list(&[("content-length".to_owned(), declared.into_bytes())]).expect("valid headers");
    let (_, end) = wit_future::new(|| Ok(None));
    if query(&request, "none").is_some() {
        let (response, _sent) = Response::new(headers, None, end);
        return Ok(response);
    }
    let (mut writer, body) = wit_stream::new();
    spawn_local(async move {
        // What is not taken is the caller's business.
        drop(writer.write_all(vec![b'x'; actual]).await);
    });
    let (response, _sent) = Response::new(headers, Some(body), end);
    Ok(response)
}

handler!(handle);
