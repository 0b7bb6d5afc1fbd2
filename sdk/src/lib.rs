//! Write Samovar functions in Rust: an `async fn`, the [`http`] crate's types, one attribute.
//!
//! ```
//! use samovar_sdk::{handler, Request, Response, Result};
//!
//! #[handler]
//! async fn hello(req: Request) -> Result<Response> {
//!     Ok(Response::text(format!("hello from {}\n", req.uri().path())))
//! }
//! ```
//!
//! The crate is a `cdylib`, built with `cargo build --release --target wasm32-wasip2`: what comes out is a WebAssembly component
//! that exports `wasi:http/incoming-handler` and runs on any host of WASI 0.2. With the feature `wasip3` the same source exports
//! `wasi:http/handler` of WASI 0.3, and one instance can answer several requests at once.
//!
//! | to | there is |
//! | --- | --- |
//! | take arguments from the request | [`Request`], [`Json`], [`Query`], [`Path`], `String`, `Bytes`, and what is [`FromRequestParts`] |
//! | answer | anything [`IntoResponse`]: text, [`Json`], [`Html`], [`Response`], [`Sse`], `Result`s |
//! | fail | [`Error`]: a status, a problem document for the caller, the cause for the log |
//! | stream | [`Body`], [`Body::from_stream`], [`Body::from_writer`] |
//! | have several routes | [`Router`], or an `axum::Router` with the feature `axum` |
//! | call others | [`send`], [`outbound::Client`], other functions: [`functions::call`] |
//! | keep something | buckets of values by key: [`kv`] |
//! | read settings | [`env`](fn@env), [`config`], [`secret`] |
//! | say something | [`log`] |
//! | know a caller again | the module `session`, with the feature of that name |
//! | wait | [`sleep`], [`timeout`] |
//! | test | the module `testing`: `cargo test` runs handlers natively |
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what went wrong by failing"))]

#[cfg(all(target_family = "wasm", not(target_os = "wasi")))]
compile_error!("functions are built for WASI: cargo build --release --target wasm32-wasip2");
#[cfg(all(target_os = "wasi", target_env = "p1"))]
compile_error!("functions are components: cargo build --release --target wasm32-wasip2");

#[cfg(feature = "axum")]
pub mod axum;
mod body;
pub mod config;
mod env;
mod error;
mod extract;
pub mod functions;
mod guest;
pub mod kv;
pub mod log;
pub mod outbound;
mod path;
mod pattern;
mod reads;
mod response;
mod router;
pub mod secret;
#[cfg(feature = "session")]
pub mod session;
mod sse;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;
mod writer;

pub use body::{Body, BodyError};
pub use bytes::Bytes;
pub use env::{EnvError, env};
pub use error::{Error, Result};
pub use extract::{FromRequest, FromRequestParts, Json, Query};
pub use http;
pub use outbound::{SendError, send};
pub use path::Path;
pub use reads::Reads;
pub use response::{Html, IntoResponse, Response};
pub use router::{RouteHandler, Router};
/// Makes an `async fn` the function that the platform calls.
///
/// Its arguments are extractors ([`FromRequestParts`], and as the last one [`FromRequest`]); it returns anything
/// [`IntoResponse`]. The function itself stays as it is: tests call it.
///
/// - `#[handler]`: every request that the manifest's routes send here.
/// - `#[handler("/cart/{id}")]`: with a path pattern for [`Path`] to read; another path is a 404.
/// - `#[handler(axum)]` on an `fn() -> axum::Router`: see the module `axum` (feature `axum`).
///
/// A crate has one handler.
///
/// ```
/// use samovar_sdk::{Json, Path, Result, handler, http::Method};
///
/// #[handler("/cart/{id}")]
/// async fn cart(method: Method, Path(id): Path<u32>, Json(items): Json<Vec<String>>) -> Result<String> {
///     Ok(format!("{method} {} items into cart {id}\n", items.len()))
/// }
///
/// let call = cart(Method::PUT, Path(7), Json(vec!["tea".into()]));
/// assert_eq!(samovar_sdk::testing::call(call).text(), "PUT 1 items into cart 7\n");
/// ```
pub use samovar_sdk_macros::handler;
pub use sse::{Event, EventWriter, Sse};
pub use time::{Sleep, TimedOut, sleep, timeout};
pub use writer::{Outcome, Writer};

/// A request: the [`http`] crate's, with our [`Body`].
///
/// ```
/// use samovar_sdk::{Body, Request};
///
/// let request = Request::post("/cart?from=3").header("x-user", "ann").body(Body::from("tea")).unwrap();
/// assert_eq!(request.uri().query(), Some("from=3"));
/// assert_eq!(request.headers()["x-user"], "ann");
/// ```
pub type Request<T = Body> = http::Request<T>;

/// The code of the guide is tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sdk.md")]
mod guide {}

/// What `#[handler]` writes refers to; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::guest::*;
    #[cfg(feature = "axum")]
    pub use axum;

    pub use crate::pattern::Pattern;

    use crate::{Error, Request, Result};

    /// Leaves what the pattern's names stand for in the request; 404 for another path.
    pub fn match_path(pattern: &Pattern, mut request: Request) -> Result<Request> {
        let path = request.uri().path();
        let params = pattern.matches(path).ok_or_else(|| Error::not_found(format!("no route fits `{path}`")))?;
        request.extensions_mut().insert(params);
        Ok(request)
    }

    /// The attribute has checked it.
    pub fn checked_pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The export of the WASI version that the crate is built for.
#[doc(hidden)]
#[cfg(all(target_family = "wasm", not(feature = "wasip3")))]
#[macro_export]
macro_rules! __export {
    ($export:ident) => {
        impl $crate::__private::wasip2::exports::http::incoming_handler::Guest for $export {
            fn handle(
                request: $crate::__private::wasip2::http::types::IncomingRequest,
                out: $crate::__private::wasip2::http::types::ResponseOutparam,
            ) {
                $crate::__private::handle::<Self>(request, out)
            }
        }
        $crate::__private::wasip2::http::proxy::export!($export with_types_in $crate::__private::wasip2);
    };
}

/// The export of the WASI version that the crate is built for.
#[doc(hidden)]
#[cfg(all(target_family = "wasm", feature = "wasip3"))]
#[macro_export]
macro_rules! __export {
    ($export:ident) => {
        impl $crate::__private::wasip3::exports::http::handler::Guest for $export {
            async fn handle(
                request: $crate::__private::wasip3::http::types::Request,
            ) -> ::core::result::Result<
                $crate::__private::wasip3::http::types::Response,
                $crate::__private::wasip3::http::types::ErrorCode,
            > {
                $crate::__private::handle::<Self>(request).await
            }
        }
        $crate::__private::wasip3::http::service::export!($export with_types_in $crate::__private::wasip3);
    };
}

/// A native build has nothing to export.
#[doc(hidden)]
#[cfg(not(target_family = "wasm"))]
#[macro_export]
macro_rules! __export {
    ($export:ident) => {};
}
