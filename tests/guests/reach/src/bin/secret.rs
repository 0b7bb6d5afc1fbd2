//! Reads a key (`?key=k`) and answers what can be told of a secret: how long it is, and a sum of its bytes; or the error. With
//! `&then=trap` it panics after that. Without a key it answers the keys of the whole configuration.

use guests_wasi02::{answer, handler, query};
use wasi::config::store::{self, Error};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../wit/config",
    inline: "package samovar:guests; world reader { include wasi:config/imports@0.2.0-rc.1; }",
    generate_all,
});

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let Some(key) = query(&request, "key") else {
        let all = store::get_all().expect("it is at hand");
        let keys: Vec<String> = all.into_iter().map(|(key, _)| key).collect();
        return answer(out, 200, &format!("{keys:?}\n"));
    };
    let read = store::get(&key);
    if query(&request, "then").as_deref() == Some("trap") {
        panic!("asked to");
    }
    match read {
        Ok(Some(value)) => {
            let sum: u32 = value.bytes().map(u32::from).sum();
            answer(out, 200, &format!("{} bytes, sum {sum}\n", value.len()));
        }
        Ok(None) => answer(out, 404, "not there\n"),
        Err(Error::Upstream(reason)) => answer(out, 503, &format!("upstream: {reason}\n")),
        Err(Error::Io(reason)) => answer(out, 500, &format!("io: {reason}\n")),
    }
}

handler!(handle);
