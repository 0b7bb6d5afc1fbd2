//! Answers what it was told of the request, a line each: method, scheme, authority, path, then the headers.

use guests_wasi03::{answer, handler};
use wasip3::http::types::{ErrorCode, Request, Response};

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let mut lines = vec![
        format!("{:?}", request.get_method()),
        format!("{:?}", request.get_scheme()),
        request.get_authority().unwrap_or_default(),
        request.get_path_with_query().unwrap_or_default(),
    ];
    for (name, value) in request.get_headers().copy_all() {
        lines.push(format!("{name}: {}", String::from_utf8_lossy(&value)));
    }
    answer(200, lines.join("\n"))
}

handler!(handle);
