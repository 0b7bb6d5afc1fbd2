//! Serving an `axum::Router` as it is (feature `axum`).
//!
//! axum is used without its server: leave its default features off.
//! ```toml
//! [dependencies]
//! axum = { version = "0.8", default-features = false, features = ["json", "query"] }
//! samovar-sdk = { version = "0.1", features = ["axum"] }
//! ```
//!
//! The router is made once for all requests of an instance:
//!
//! ```
//! use axum::{Router, extract::Path, routing::get};
//! use samovar_sdk::handler;
//!
//! #[handler(axum)]
//! fn app() -> Router {
//!     Router::new().route("/app/{name}", get(async |Path(name): Path<String>| format!("hello {name}\n")))
//! }
//!
//! # use samovar_sdk::{Body, Request, testing};
//! let request = Request::get("/app/ann").body(Body::empty()).unwrap();
//! assert_eq!(testing::call(samovar_sdk::axum::serve(app(), request)).text(), "hello ann\n");
//! ```

use std::future::poll_fn;

use tower_service::Service;

use crate::{Body, Request, Response};

/// Answers one request with a router.
///
/// ```
/// use axum::{Router, routing::get};
/// use samovar_sdk::{Body, Request, testing};
///
/// let router = Router::new().route("/", get(async || "home"));
/// let request = Request::get("/").body(Body::empty()).unwrap();
/// assert_eq!(testing::call(samovar_sdk::axum::serve(router, request)).text(), "home");
/// ```
pub async fn serve(mut router: axum::Router, request: Request) -> Response {
    let Ok(()) = poll_fn(|cx| Service::<Request>::poll_ready(&mut router, cx)).await;
    let Ok(response) = router.call(request).await;
    response.map(Body::from_http_body).into()
}
