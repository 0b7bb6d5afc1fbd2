//! Logs a message at every level; with `?flood=N` a message of that many times the same. What it says is in the query:
//! `message`, with `%22` for quotation marks, and `context`.

use guests_wasi02::{answer, handler, number, query};
use wasi::logging::logging::{Level, log};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../wit/logging",
    inline: "package samovar:guests; world teller { include wasi:logging/imports@0.1.0-draft; }",
    generate_all,
});

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let said = |name| query(&request, name).unwrap_or_default().replace("%22", "\"");
    let (context, message) = (said("context"), said("message"));
    let levels = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical];
    for _ in 0..number(&request, "flood", 1) {
        for level in levels {
            log(level, &context, &message);
        }
    }
    answer(out, 200, "logged\n");
}

handler!(handle);
