//! Answers all of the configuration, read through the name that the interface had before.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package samovar:guests;
        world reader { import wasi:config/runtime@0.2.0-draft; }
        package wasi:config@0.2.0-draft {
            interface runtime {
                variant config-error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, config-error>;
                get-all: func() -> result<list<tuple<string, string>>, config-error>;
            }
        }
    ",
    generate_all,
});

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, &format!("{:?}\n", wasi::config::runtime::get_all().expect("it is at hand")));
}

handler!(handle);
