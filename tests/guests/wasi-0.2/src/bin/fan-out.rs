//! Sends `?count` requests to the URL in `?url` at once and waits for the first answer.

use guests_wasi02::{answer, handler, number, query};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let url = query(&request, "url").expect("a url in the query");
    let authority = url.strip_prefix("http://").expect("a plain url");
    let send = |_| {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
        request.set_authority(Some(authority)).expect("a valid authority");
        request.set_path_with_query(Some("/")).expect("a valid path");
        let body = request.body().expect("the first call");
        let response = outgoing_handler::handle(request, None).expect("allowed");
        OutgoingBody::finish(body, None).expect("no content-length was promised");
        response
    };
    let responses: Vec<_> = (0..number(&request, "count", 1)).map(send).collect();
    if let Some(first) = responses.first() {
        first.subscribe().block();
    }
    answer(out, 200, "answered\n");
}

handler!(handle);
