//! Tries to connect to the address in `?to`, and answers what became of it.

use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let to = query(&request, "to").expect("an address in the query");
    answer(out, 200, &format!("{:?}\n", std::net::TcpStream::connect(to).map(drop)));
}

handler!(handle);
