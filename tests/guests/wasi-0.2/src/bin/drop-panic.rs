//! Panics in a destructor, with `?again` in one that runs because of a panic. Answers `calm` with `?calm`.

use guests_wasi02::{answer, handler, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("the cup is broken");
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if query(&request, "calm").is_none() {
        let _fragile = Fragile;
        assert!(query(&request, "again").is_none(), "the saucer is broken, too");
    }
    answer(out, 200, "calm\n");
}

handler!(handle);
