//! Key-value in its second draft. The query says what to do: `?do=get&bucket=b&key=k`, `set` and `swap` with `value`,
//! `increment` with `by`, `list` with `cursor`, `set-large` and `get-large` with `bytes` and `keys`, `gets` with `times`.

use guests_wasi02::{answer, handler, number, query};
use wasi::keyvalue::atomics::{self, Cas, CasError};
use wasi::keyvalue::batch;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../wit/keyvalue-draft2",
    inline: "package samovar:guests; world keeper { include wasi:keyvalue/imports@0.2.0-draft2; }",
    generate_all,
});

fn text(value: Option<Vec<u8>>) -> String {
    value.map_or("nothing".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

fn run(request: &IncomingRequest) -> Result<String, Error> {
    let said = |name: &str| query(request, name).unwrap_or_default();
    let bucket: Bucket = store::open(&query(request, "bucket").unwrap_or("default".to_owned()))?;
    let (key, value) = (said("key"), said("value"));
    match said("do").as_str() {
        "get" => Ok(text(bucket.get(&key)?)),
        "exists" => Ok(bucket.exists(&key)?.to_string()),
        "set" => bucket.set(&key, value.as_bytes()).map(|()| "set".to_owned()),
        "delete" => bucket.delete(&key).map(|()| "deleted".to_owned()),
        "increment" => Ok(atomics::increment(&bucket, &key, said("by").parse().expect("a number"))?.to_string()),
        "swap" => swap(&bucket, &key, &value),
        "list" => {
            let page = bucket.list_keys(query(request, "cursor").as_deref())?;
            Ok(format!("{} {} {:?}", page.keys.len(), page.keys.join(","), page.cursor))
        }
        "set-many" => {
            let pairs: Vec<_> = key.split(',').map(|key| (key.to_owned(), value.as_bytes().to_vec())).collect();
            batch::set_many(&bucket, &pairs).map(|()| "set".to_owned())
        }
        "get-many" => {
            let keys: Vec<_> = key.split(',').map(str::to_owned).collect();
            let each =
                batch::get_many(&bucket, &keys)?.into_iter().map(|(key, value)| format!("{key}={}", text(value)));
            Ok(each.collect::<Vec<_>>().join(" "))
        }
        "delete-many" => {
            let keys: Vec<_> = key.split(',').map(str::to_owned).collect();
            batch::delete_many(&bucket, &keys).map(|()| "deleted".to_owned())
        }
        "set-large" => bucket.set(&key, &vec![b'x'; number(request, "bytes", 0) as usize]).map(|()| "set".to_owned()),
        "get-large" => {
            let keys = vec![key; number(request, "keys", 1) as usize];
            let bytes: usize =
                batch::get_many(&bucket, &keys)?.iter().filter_map(|(_, v)| v.as_ref().map(Vec::len)).sum();
            Ok(bytes.to_string())
        }
        "hold" => {
            let held: Result<Vec<Bucket>, Error> =
                (0..number(request, "times", 1)).map(|_| store::open("default")).collect();
            Ok(format!("held {}", held?.len()))
        }
        "gets" => {
            let times = number(request, "times", 1_000);
            let found = (0..times).filter(|_| matches!(bucket.get(&key), Ok(Some(_)))).count();
            Ok(found.to_string())
        }
        other => Ok(format!("cannot do `{other}`")),
    }
}

/// Appends to the value, again and again until nobody else has written meanwhile.
fn swap(bucket: &Bucket, key: &str, more: &str) -> Result<String, Error> {
    let mut cas = Cas::new(bucket, key)?;
    for attempt in 1.. {
        let mut value = cas.current()?.unwrap_or_default();
        value.extend_from_slice(more.as_bytes());
        match atomics::swap(cas, &value) {
            Ok(()) => return Ok(format!("swapped at attempt {attempt}")),
            Err(CasError::StoreError(error)) => return Err(error),
            Err(CasError::CasFailed(again)) => cas = again,
        }
    }
    unreachable!("attempts have no end")
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    match run(&request) {
        Ok(text) => answer(out, 200, &format!("{text}\n")),
        Err(error) => answer(out, 409, &format!("{error:?}\n")),
    }
}

handler!(handle);
