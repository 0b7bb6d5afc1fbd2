//! The greeting that wasmCloud's quickstart ends with: counts in key-value, reads its configuration, logs. Nothing in it knows
//! of Samovar.

use wasmcloud_component::http;
use wasmcloud_component::wasi::config::store::get;
use wasmcloud_component::wasi::keyvalue::{atomics, store};
use wasmcloud_component::wasi::logging::logging::{Level, log};

struct Component;

http::export!(Component);

impl http::Server for Component {
    fn handle(request: http::IncomingRequest) -> http::Result<http::Response<impl http::OutgoingBody>> {
        let (parts, _body) = request.into_parts();
        let query = parts.uri.query().map(ToString::to_string).unwrap_or_default();
        let name = match query.split("=").collect::<Vec<&str>>()[..] {
            ["name", name] => name,
            _ => "World",
        };
        log(Level::Info, "", &format!("Greeting {name}"));
        let bucket = store::open("default").map_err(|e| {
            log(Level::Error, "kv-store", &format!("Failed to open bucket: {e:?}"));
            http::ErrorCode::InternalError(Some("failed to open KV bucket".into()))
        })?;
        let count = atomics::increment(&bucket, name, 1).map_err(|e| {
            log(Level::Error, "kv-store", &format!("Failed to increment counter: {e:?}"));
            http::ErrorCode::InternalError(Some("failed to increment counter".into()))
        })?;
        let greeting = get("greeting").ok().flatten().unwrap_or("Hello".into());
        Ok(http::Response::new(format!("{greeting} x{count}, {name}!\n")))
    }
}
