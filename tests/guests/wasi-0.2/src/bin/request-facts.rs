//! Answers what it was told of the request, as JSON.

use guests_wasi02::{begin, handler, quote, write};
use wasip2::http::types::{IncomingRequest, Method, OutgoingBody, ResponseOutparam, Scheme};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let text = |value: Option<String>| value.map_or_else(|| "null".to_owned(), |value| quote(&value));
    let method = match request.method() {
        Method::Other(name) => name,
        known => format!("{known:?}").trim_start_matches("Method::").to_ascii_uppercase(),
    };
    let scheme = request.scheme().map(|scheme| match scheme {
        Scheme::Http => "http".to_owned(),
        Scheme::Https => "https".to_owned(),
        Scheme::Other(name) => name,
    });
    let headers: Vec<String> = request
        .headers()
        .entries()
        .iter()
        .map(|(name, value)| format!("[{},{}]", quote(name), quote(&String::from_utf8_lossy(value))))
        .collect();
    let json = format!(
        "{{\"method\":{},\"scheme\":{},\"authority\":{},\"path\":{},\"headers\":[{}]}}",
        quote(&method),
        text(scheme),
        text(request.authority()),
        text(request.path_with_query()),
        headers.join(","),
    );
    let body = begin(out, 200, &[("content-type", "application/json")]);
    write(&body, json.as_bytes());
    OutgoingBody::finish(body, None).expect("no content-length was promised");
}

handler!(handle);
