//! What the guests have in common: reading the query, answering, streaming a body.

use wasip3::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamWriter};
use wasip3::{wit_future, wit_stream};

pub use wit_bindgen::spawn_local;

/// Exports an `async fn(Request) -> Result<Response, ErrorCode>` as the component's handler.
#[macro_export]
macro_rules! handler {
    ($handle:path) => {
        struct Guest;
        wasip3::http::service::export!(Guest);

        impl wasip3::exports::http::handler::Guest for Guest {
            async fn handle(
                request: wasip3::http::types::Request,
            ) -> Result<wasip3::http::types::Response, wasip3::http::types::ErrorCode> {
                $handle(request).await
            }
        }

        fn main() {}
    };
}

/// The end of a body: its trailers, or what went wrong.
pub type End = Result<Option<Trailers>, ErrorCode>;

/// The value of `key` in the request's query, percent-encoding left as it is.
pub fn query(request: &Request, key: &str) -> Option<String> {
    let path_and_query = request.get_path_with_query()?;
    let (_, query) = path_and_query.split_once('?')?;
    query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name == key).then(|| value.to_owned()),
        None => (pair == key).then(String::new),
    })
}

/// The number that `key` has in the query.
pub fn number(request: &Request, key: &str, default: u64) -> u64 {
    query(request, key).map_or(default, |value| value.parse().expect("a number"))
}

/// A response with this body and this end.
pub fn response(status: u16, headers: &[(&str, &str)], body: StreamReader<u8>, end: FutureReader<End>) -> Response {
    let entries: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let fields = Fields::from_list(&entries).expect("valid headers");
    let (response, _sent) = Response::new(fields, Some(body), end);
    response.set_status_code(status).expect("a valid status");
    response
}

/// Answers with a body that `write` writes while the response is on its way. The body ends with what `write` gives back.
pub fn stream<F>(status: u16, write: impl FnOnce(StreamWriter<u8>) -> F + 'static) -> Response
where
    F: Future<Output = End>,
{
    let (writer, reader) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        let outcome = write(writer).await;
        // Nobody is left to be told when the caller is gone.
        drop(end.write(outcome).await);
    });
    response(status, &[], reader, ended)
}

/// Answers with a text.
pub fn answer(status: u16, text: impl Into<String>) -> Result<Response, ErrorCode> {
    let text = text.into();
    Ok(stream(status, async move |mut writer| {
        writer.write_all(text.into_bytes()).await;
        drop(writer);
        Ok(None)
    }))
}

/// Waits without holding the instance up.
pub async fn sleep(millis: u64) {
    wasip3::clocks::monotonic_clock::wait_for(millis * 1_000_000).await;
}
