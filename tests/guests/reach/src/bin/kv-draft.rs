//! Key-value in its first draft: `?do=increment&key=k`, `?do=list` (all pages, with one bucket), `?do=list&cursor=2` (one page,
//! with a bucket of its own), `?do=get-many&key=a,b`.

use guests_wasi02::{answer, handler, number, query};
use wasi::keyvalue::store::{self, Error};
use wasi::keyvalue::{atomics, batch};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../wit/keyvalue-draft",
    inline: "package samovar:guests; world keeper { include wasi:keyvalue/imports@0.2.0-draft; }",
    generate_all,
});

fn run(request: &IncomingRequest) -> Result<String, Error> {
    let bucket = store::open("default")?;
    let key = query(request, "key").unwrap_or_default();
    match query(request, "do").unwrap_or_default().as_str() {
        "set" => bucket.set(&key, b"x").map(|()| "set".to_owned()),
        "increment" => Ok(atomics::increment(&bucket, &key, number(request, "by", 1))?.to_string()),
        "list" => {
            let begin = query(request, "cursor").map(|cursor| cursor.parse().expect("a number"));
            let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, begin);
            loop {
                let page = bucket.list_keys(cursor)?;
                keys.extend(page.keys);
                pages += 1;
                cursor = page.cursor;
                if cursor.is_none() || begin.is_some() {
                    break;
                }
            }
            keys.dedup();
            Ok(format!("{} keys in {pages} pages from {:?} to {:?}, {cursor:?}", keys.len(), keys.first(), keys.last()))
        }
        "get-many" => {
            let keys: Vec<_> = key.split(',').map(str::to_owned).collect();
            Ok(format!("{:?}", batch::get_many(&bucket, &keys)?))
        }
        "fill" => {
            let keys = number(request, "keys", 1);
            for first in (0..keys).step_by(1_000) {
                let some = first..keys.min(first + 1_000);
                let pairs: Vec<_> = some.map(|number| (format!("k{number:06}"), b"x".to_vec())).collect();
                batch::set_many(&bucket, &pairs)?;
            }
            Ok("filled".to_owned())
        }
        other => Ok(format!("cannot do `{other}`")),
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    match run(&request) {
        Ok(text) => answer(out, 200, &format!("{text}\n")),
        Err(error) => answer(out, 409, &format!("{error:?}\n")),
    }
}

handler!(handle);
