//! Answers the environment variable named by the query, or lists all of them, one `KEY=value` a line.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let path_and_query = request.path_with_query().unwrap_or_default();
    let Some((_, name)) = path_and_query.split_once('?') else {
        let mut all: Vec<String> = std::env::vars().map(|(key, value)| format!("{key}={value}\n")).collect();
        all.sort();
        return answer(out, 200, &all.concat());
    };
    match std::env::var(name) {
        Ok(value) => answer(out, 200, &value),
        Err(_) => answer(out, 404, &format!("no variable {name}\n")),
    }
}

handler!(handle);
