//! Answers a key of the configuration (`?key=k`), or all of it.

use guests_wasi02::{answer, handler, query};
use wasi::config::store;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../wit/config",
    inline: "package samovar:guests; world reader { include wasi:config/imports@0.2.0-rc.1; }",
    generate_all,
});

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let text = match query(&request, "key") {
        Some(key) => format!("{:?}\n", store::get(&key).expect("it is at hand")),
        None => format!("{:?}\n", store::get_all().expect("it is at hand")),
    };
    answer(out, 200, &text);
}

handler!(handle);
