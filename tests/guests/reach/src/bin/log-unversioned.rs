//! Logs one message, through the interface as it is named without a version.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package samovar:guests;
        world teller { import wasi:logging/logging; }
        package wasi:logging {
            interface logging {
                enum level { trace, debug, info, warn, error, critical }
                log: func(level: level, context: string, message: string);
            }
        }
    ",
    generate_all,
});

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    wasi::logging::logging::log(wasi::logging::logging::Level::Error, "", "no version");
    answer(out, 200, "logged\n");
}

handler!(handle);
