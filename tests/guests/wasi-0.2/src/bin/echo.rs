//! Streams the request's body back as it comes, and passes its trailers on.

use guests_wasi02::{begin, copy, handler};
use wasip2::http::types::{FutureTrailers, IncomingBody, IncomingRequest, OutgoingBody, ResponseOutparam, Trailers};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the first call");
    let body = begin(out, 200, &[("content-type", "application/octet-stream")]);
    let input = incoming.stream().expect("the first call");
    copy(&input, &body);
    drop(input);
    let trailers = trailers(&IncomingBody::finish(incoming));
    OutgoingBody::finish(body, trailers).expect("no content-length was promised");
}

fn trailers(future: &FutureTrailers) -> Option<Trailers> {
    future.subscribe().block();
    future.get().expect("ready").expect("taken once").expect("a body that ended well")
}

handler!(handle);
