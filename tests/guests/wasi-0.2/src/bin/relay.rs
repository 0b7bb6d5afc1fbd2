//! Tells the server named by the variable `INBOX` of the request that it gets: as `POST /` with a line of JSON (method, path, headers)
//! and the body behind it. Answers as that server does: with its status and its `retry-after`.

use guests_wasi02::{answer, begin, handler, quote};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, Method, OutgoingBody, OutgoingRequest, ResponseOutparam,
    Scheme,
};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let response = match tell(&request) {
        Ok(response) => response,
        Err(code) => return answer(out, 599, &format!("{code:?}\n")),
    };
    let retry_after = response.headers().get("retry-after").into_iter().next().unwrap_or_default();
    let retry_after = String::from_utf8(retry_after).expect("text");
    let headers: &[_] = if retry_after.is_empty() { &[] } else { &[("retry-after", retry_after.as_str())] };
    let body = begin(out, response.status(), headers);
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

fn tell(request: &IncomingRequest) -> Result<IncomingResponse, ErrorCode> {
    let inbox = std::env::var("INBOX").expect("the variable INBOX");
    let told = OutgoingRequest::new(Fields::new());
    told.set_method(&Method::Post).expect("a valid method");
    told.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
    told.set_authority(inbox.strip_prefix("http://")).expect("a valid authority");
    told.set_path_with_query(Some("/")).expect("a valid path");
    let body = told.body().expect("the first call");
    let response = outgoing_handler::handle(told, None)?;
    let incoming = request.consume().expect("the first call");
    let input = incoming.stream().expect("the first call");
    let output = body.write().expect("the first call");
    output.blocking_write_and_flush(head(request).as_bytes()).expect("the server reads");
    while let Ok(piece) = input.blocking_read(4096) {
        output.blocking_write_and_flush(&piece).expect("the server reads");
    }
    drop(output);
    OutgoingBody::finish(body, None)?;
    response.subscribe().block();
    response.get().expect("ready").expect("taken once")
}

fn head(request: &IncomingRequest) -> String {
    let method = format!("{:?}", request.method());
    let method = method.trim_start_matches("Method::").to_ascii_uppercase();
    let path = request.path_with_query().unwrap_or_default();
    let headers = request.headers().entries();
    let headers =
        headers.iter().map(|(name, value)| format!("{}:{}", quote(name), quote(&String::from_utf8_lossy(value))));
    let headers = headers.collect::<Vec<_>>().join(",");
    format!("{{\"method\":{},\"path\":{},\"headers\":{{{headers}}}}}\n", quote(&method), quote(&path))
}

handler!(handle);
