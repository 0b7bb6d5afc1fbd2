//! Key-value (its second draft), configuration and logging in a guest of WASI 0.3: counts its calls in the bucket `default`,
//! logs the count, and answers it with the greeting that it is configured with.

use guests_wasi03::{answer, handler};
use wasi::keyvalue::{atomics, store};
use wasi::logging::logging::{Level, log};
use wasip3::http::types::{ErrorCode, Request, Response};

wit_bindgen::generate!({
    path: ["../wit/keyvalue-draft2", "../wit/config", "../wit/logging"],
    inline: "
        package samovar:guests;
        world keeper {
            include wasi:keyvalue/imports@0.2.0-draft2;
            include wasi:config/imports@0.2.0-rc.1;
            include wasi:logging/imports@0.1.0-draft;
        }
    ",
    generate_all,
});

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    let bucket = store::open("default").map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    let count = atomics::increment(&bucket, "calls", 1).expect("the store is there");
    bucket.set("last", count.to_string().as_bytes()).expect("the store is there");
    let last = bucket.get("last").expect("the store is there").expect("it was set");
    log(Level::Info, "calls", &format!("{{\"message\":\"called\",\"count\":{count}}}"));
    let greeting = wasi::config::store::get("greeting").expect("it is at hand").unwrap_or_default();
    answer(200, format!("{greeting} {}\n", String::from_utf8_lossy(&last)))
}

handler!(handle);
